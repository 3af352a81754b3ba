#include "workers/doctor_report.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

const Findings kFindings = {
    {Grade::kOk, "kernel", "Linux 6"},
    {Grade::kBad, "queue-range", "0:3", "It is dropped.", "iptables \"x\""}};

TEST(DoctorReportTest, Text) {
  EXPECT_EQ(report_text(kFindings, false),
            "ok    kernel       Linux 6\n"
            "bad   queue-range  0:3\n"
            "                   It is dropped.\n"
            "                   fix: iptables \"x\"\n"
            "\n1 ok, 0 warnings, 1 bad, 0 skipped\n");
  EXPECT_NE(report_text(kFindings, true).find("\033[1;31mbad \033[0m"), std::string::npos);
}

TEST(DoctorReportTest, Json) {
  EXPECT_EQ(
      report_json(kFindings),
      "{\"findings\": [\n"
      "  {\"grade\": \"ok\", \"check\": \"kernel\", \"found\": \"Linux 6\", \"why\": \"\", "
      "\"fix\": "
      "\"\"},\n"
      "  {\"grade\": \"bad\", \"check\": \"queue-range\", \"found\": \"0:3\", \"why\": \"It is "
      "dropped.\", \"fix\": \"iptables \\\"x\\\"\"}\n"
      "], \"ok\": 1, \"warn\": 0, \"bad\": 1, \"skip\": 0}\n");
}

}  // namespace
}  // namespace fettle
