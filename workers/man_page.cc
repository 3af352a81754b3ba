#include "workers/man_page.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <ctime>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "workers/version.h"

namespace fettle {
namespace {

constexpr size_t kWidth = 78;
// A longer tag would run over the line's end: what is tagged begins with the rest then.
constexpr size_t kLongestTag = 48;

// Typewriter's characters, which troff would take for typographic ones.
std::string literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// A line that begins with one of these is a request.
std::string guarded(std::string line) {
  if (line.starts_with('.') || line.starts_with('\'')) line.insert(0, "\\&");
  return line;
}

// What stands between two marks; moves *at behind the second. Empty where there is none.
std::string_view between(std::string_view text, size_t* at, std::string_view mark) {
  const size_t begin = *at + mark.size();
  const size_t end = text.find(mark, begin);
  if (!text.substr(*at).starts_with(mark) || end == std::string_view::npos || end == begin)
    return {};
  *at = end + mark.size();
  return text.substr(begin, end - begin);
}

std::string link(std::string_view text, size_t* at) {
  const size_t middle = text.find("](", *at);
  const size_t end = text.find(')', std::min(middle, text.size()));
  if (text[*at] != '[' || end == std::string_view::npos) return {};
  if (text.substr(*at + 1, middle - *at).find('[') != std::string_view::npos) return {};
  const std::string_view name = text.substr(*at + 1, middle - *at - 1);
  const std::string_view target = text.substr(middle + 2, end - middle - 2);
  *at = end + 1;
  return target.starts_with("http") ? fmt::format("{} ({})", literal(name), literal(target))
                                    : literal(name);
}

std::string inlined(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '\\' && at + 1 < text.size() && std::ispunct(text[at + 1])) {
      out += literal(text.substr(at + 1, 1));
      at += 2;
    } else if (const auto code = between(text, &at, "`"); !code.empty()) {
      out += fmt::format("\\fB{}\\fR", literal(code));
    } else if (const auto bold = between(text, &at, "**"); !bold.empty()) {
      out += fmt::format("\\fB{}\\fR", literal(bold));
    } else if (text.substr(at).starts_with("*\\") || !text.substr(at).starts_with("* ")) {
      const auto italic = between(text, &at, "*");
      const std::string to = italic.empty() ? link(text, &at) : "";
      out += !italic.empty() ? fmt::format("\\fI{}\\fR", inlined(italic))
             : !to.empty()   ? to
                             : literal(text.substr(at++, 1));
    } else {
      out += literal(text.substr(at++, 1));
    }
  }
  return out;
}

// Filled lines of a source that people may read, too.
std::string filled(const std::string& text) {
  std::string out, line;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty()) continue;
    if (!line.empty() && line.size() + 1 + word.size() > kWidth) {
      out += guarded(std::move(line)) + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return line.empty() ? out : out + guarded(std::move(line)) + "\n";
}

std::vector<std::string> cells(std::string_view row) {
  std::vector<std::string> out(1);
  for (size_t i = 1; i < row.size(); ++i) {
    if (row[i] == '|' && row[i - 1] != '\\') {
      out.emplace_back();
    } else {
      out.back() += row[i];
    }
  }
  for (std::string& cell : out) {
    cell.erase(0, cell.find_first_not_of(' '));
    cell.erase(cell.find_last_not_of(' ') + 1);
  }
  return out;
}

class Converter {
 public:
  std::string convert(std::string_view markdown) {
    for (size_t at = 0; at < markdown.size();) {
      const size_t end = std::min(markdown.find('\n', at), markdown.size());
      take(markdown.substr(at, end - at));
      at = end + 1;
    }
    flush();
    return std::move(out_);
  }

 private:
  void take(std::string_view line) {
    if (line.starts_with("```")) {
      flush();
      out_ += in_code_ ? ".EE\n.RE\n" : after_heading_ ? ".RS 4\n.EX\n" : ".PP\n.RS 4\n.EX\n";
      in_code_ = !in_code_;
      after_heading_ = false;
    } else if (in_code_) {
      out_ += guarded(literal(line)) + "\n";
    } else if (line.empty()) {
      flush();
      rows_ = 0;
    } else if (line.starts_with('#')) {
      heading(line);
    } else if (line.starts_with('|')) {
      flush();
      table_row(line);
    } else {
      text(line);
    }
  }

  void heading(std::string_view line) {
    flush();
    const size_t level = line.find(' ');
    std::string words(line.substr(level + 1));
    std::erase(words, '`');
    after_heading_ = true;
    if (level == 2) {
      std::ranges::transform(words, words.begin(), [](unsigned char c) { return std::toupper(c); });
      in_synopsis_ = words == "SYNOPSIS";
    }
    if (level > 1) out_ += fmt::format(".{} {}\n", level == 2 ? "SH" : "SS", literal(words));
  }

  void table_row(std::string_view line) {
    if (++rows_ <= 2) return;  // the heading, and the line below it
    const std::vector<std::string> row = cells(line);
    const bool short_tag = row.size() < 2 || row[0].size() + row[1].size() <= kLongestTag;
    out_ += ".TP\n" + guarded(inlined(row[0]));
    if (short_tag && row.size() > 1 && !row[1].empty()) out_ += "  " + inlined(row[1]);
    out_ += "\n";
    if (!short_tag) out_ += filled(inlined(row[1])) + ".br\n";
    if (row.size() > 2) out_ += filled(inlined(row[2]));
    after_heading_ = false;
  }

  void text(std::string_view line) {
    const size_t digits = line.find_first_not_of("0123456789");
    if (line.starts_with("- ")) {
      flush();
      tag_ = in_synopsis_ ? (after_heading_ ? "" : ".br\n") : ".IP \\(bu 2\n";
      line.remove_prefix(2);
    } else if (digits > 0 && digits < line.size() && line.substr(digits).starts_with(". ")) {
      flush();
      tag_ = fmt::format(".IP {} 4\n", line.substr(0, digits + 1));
      line.remove_prefix(digits + 2);
    }
    while (line.starts_with(' ')) line.remove_prefix(1);
    if (!paragraph_.empty()) paragraph_ += ' ';
    paragraph_ += line;
  }

  void flush() {
    if (paragraph_.empty()) return;
    if (!tag_.empty() || !after_heading_) out_ += tag_.empty() ? ".PP\n" : tag_;
    out_ += filled(inlined(paragraph_));
    paragraph_.clear();
    tag_.clear();
    after_heading_ = false;
  }

  std::string out_;
  std::string paragraph_;  // not yet written
  std::string tag_;        // of the list's item that it is; empty: of none
  size_t rows_ = 0;        // of a table, so far
  bool in_code_ = false;
  bool in_synopsis_ = false;   // whose list is lines, one below the other
  bool after_heading_ = true;  // which ends the paragraph before it by itself
};

std::string date() {
  const char* epoch = std::getenv("SOURCE_DATE_EPOCH");
  const time_t when = epoch ? std::strtoll(epoch, nullptr, 10) : std::time(nullptr);
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(when));
}

}  // namespace

std::string man_page(const ManTitle& title, std::string_view markdown) {
  std::string name(title.name);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string out = fmt::format(
      ".\\\" Made by fettle reference; changes belong into its source.\n"
      ".TH {} {} {} \"fettle {}\" \"fettle\"\n",
      name, title.section, date(), version());
  if (!title.summary.empty()) {
    out += fmt::format(".SH NAME\n{} \\- {}\n.SH DESCRIPTION\n", title.name, title.summary);
  }
  return out + Converter().convert(markdown);
}

}  // namespace fettle
