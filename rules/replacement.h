// A regular expression and what its matches are replaced by. Vectorscan says whether a payload has
// one at all (pattern_set.h); PCRE2 says where it begins and ends, and what its groups hold.
//
// Source: pcre2api(3), pcre2pattern(3), pcre2partial(3), as of PCRE2 10.42.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "rules/edit_text.h"
#include "rules/rule.h"

struct pcre2_real_code_8;

namespace fettle {

class Replacement {
 public:
  // `with`: $0 is the match, $1 to $99 and ${name} are groups, $$ is a dollar sign; \xHH, \r, \n,
  // \t, \\ and \$ are bytes. The error says what was found and what was expected. Where the pattern
  // is to blame, *in_pattern is set.
  static std::expected<Replacement, std::string> make(const PatternMatch& pattern,
                                                      std::string_view with, bool* in_pattern);

  // Adds an edit for each match, from left to right, none empty. Where the text goes on, a last
  // part that may begin a match, or a match that more bytes may change, is undecided: its length
  // comes back, and no edit lies in it. A match that costs too much ends the search: *gave_up.
  uint32_t find(const EditText& text, EditWorkspace& workspace, bool* gave_up) const noexcept;

 private:
  struct Part {
    int32_t group = -1;  // -1: literal
    uint32_t first = 0;  // of literals_
    uint32_t count = 0;
  };
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const noexcept;
  };

  bool parse_with(std::string_view with, std::string* error);
  bool parse_group(std::string_view with, size_t* at, std::string* error);
  void add_literal(char byte);
  bool expand(const std::byte* subject, EditWorkspace& workspace, uint32_t* size) const noexcept;

  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
  uint32_t groups_ = 0;
  bool looks_behind_ = false;
  std::vector<Part> parts_;
  std::vector<std::byte> literals_;
};

}  // namespace fettle
