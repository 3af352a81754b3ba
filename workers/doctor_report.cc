#include "workers/doctor_report.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "workers/json.h"

namespace fettle {
namespace {

struct GradeName {
  std::string_view name;
  std::string_view colour;
};
constexpr std::array<GradeName, 4> kGrades{{
    {"ok", "\033[32m"},
    {"warn", "\033[1;33m"},
    {"bad", "\033[1;31m"},
    {"skip", "\033[2m"},
}};

const GradeName& name_of(Grade grade) { return kGrades[static_cast<size_t>(grade)]; }

}  // namespace

size_t count(const Findings& findings, Grade grade) {
  return static_cast<size_t>(std::ranges::count(findings, grade, &Finding::grade));
}

std::string report_text(const Findings& findings, bool colour) {
  size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.check.size());
  const size_t indent = 6 + width + 2;
  std::string out;
  for (const Finding& finding : findings) {
    const auto& [name, on] = name_of(finding.grade);
    out += fmt::format("{}{:<4}{}  {:<{}}  {}\n", colour ? on : "", name, colour ? "\033[0m" : "",
                       finding.check, width, finding.found);
    if (!finding.why.empty()) out += fmt::format("{:{}}{}\n", "", indent, finding.why);
    if (!finding.fix.empty()) out += fmt::format("{:{}}fix: {}\n", "", indent, finding.fix);
  }
  const size_t bad = count(findings, Grade::kBad);
  const size_t warnings = count(findings, Grade::kWarn);
  out += fmt::format("\n{} ok, {} warning{}, {} bad, {} skipped\n", count(findings, Grade::kOk),
                     warnings, warnings == 1 ? "" : "s", bad, count(findings, Grade::kSkip));
  if (bad + warnings > 1) {
    out += "A fix may move what another one counts: after each, run fettle doctor again.\n";
  }
  return out;
}

std::string report_json(const Findings& findings) {
  std::string out = "{\"findings\": [";
  for (const Finding& finding : findings) {
    out += fmt::format(
        "{}\n  {{\"grade\": \"{}\", \"check\": {}, \"found\": {}, \"why\": {}, \"fix\": {}}}",
        &finding == findings.data() ? "" : ",", name_of(finding.grade).name,
        json_string(finding.check), json_string(finding.found), json_string(finding.why),
        json_string(finding.fix));
  }
  return out + fmt::format("\n], \"ok\": {}, \"warn\": {}, \"bad\": {}, \"skip\": {}}}\n",
                           count(findings, Grade::kOk), count(findings, Grade::kWarn),
                           count(findings, Grade::kBad), count(findings, Grade::kSkip));
}

}  // namespace fettle
