// What `fettle doctor` finds: one line a check.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fettle {

enum class Grade : uint8_t {
  kOk,
  kWarn,  // works, but not as well, or not in every case
  kBad,   // packets are lost, or pass unmended
  kSkip,  // could not be looked at
};

struct Finding {
  Grade grade = Grade::kOk;
  std::string check;     // what was looked at, a word or two with hyphens
  std::string found;     // a clause
  std::string why = "";  // one sentence, where the grade is not kOk
  std::string fix = "";  // a command for a shell; "" where none can be given
};
using Findings = std::vector<Finding>;

}  // namespace fettle
