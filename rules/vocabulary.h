// The rule language's words as data; see vocabulary.def.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "rules/rule.h"

namespace fettle {

enum class StepKind : uint8_t {
#define FETTLE_STEP(id, ...) id,
#include "rules/vocabulary.def"
};

enum class WordGroup : uint8_t {
  kFamily,
  kProtocol,
  kHook,
  kDscp,
  kEcn,
  kTcpFlag,
  kFragment,
  kIcmpType,
  kOrigin,
  kVerdict,
  kForm,
  kNotation,
  kStripped,
  kEndian,
};

struct KeyInfo {
  Key key;
  std::string_view name, values, prose, example;
};
struct StepInfo {
  StepKind kind;
  std::string_view name, form, prose, example;
};
struct ParameterInfo {
  std::string_view owner, name, values, prose;
};
struct Word {
  WordGroup group;
  std::string_view name;
  int number;
  int number6;  // kIcmpType: ICMPv6's; -1 (in either): the family has none
};

std::span<const KeyInfo> match_keys();  // in the order of Key
std::span<const StepInfo> steps();      // in the order of StepKind
std::span<const ParameterInfo> parameters();
std::span<const Word> words();

// Null where there is none of that name.
const KeyInfo* find_key(std::string_view name);
const StepInfo* find_step(std::string_view name);
const Word* find_word(WordGroup group, std::string_view name);

std::string_view name_of(Key key);
// The name of the first word with this number, or "".
std::string_view word_of(WordGroup group, int number);

std::vector<std::string_view> parameter_names(std::string_view owner);
std::vector<std::string_view> word_names(WordGroup group);

}  // namespace fettle
