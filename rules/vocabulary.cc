#include "rules/vocabulary.h"

#include <algorithm>
#include <utility>

namespace fettle {
namespace {

constexpr KeyInfo kKeys[] = {
#define FETTLE_KEY(id, name, values, prose, example) {Key::id, name, values, prose, example},
#include "rules/vocabulary.def"
};
constexpr StepInfo kSteps[] = {
#define FETTLE_STEP(id, name, form, prose, example) {StepKind::id, name, form, prose, example},
#include "rules/vocabulary.def"
};
constexpr ParameterInfo kParameters[] = {
#define FETTLE_PARAMETER(owner, name, values, prose) {owner, name, values, prose},
#include "rules/vocabulary.def"
};
constexpr Word kWords[] = {
#define FETTLE_WORD(group, name, number, number6) {WordGroup::group, name, number, number6},
#include "rules/vocabulary.def"
};

template <typename Row, size_t N>
const Row* find_by_name(const Row (&rows)[N], std::string_view name) {
  const auto* found = std::ranges::find(rows, name, &Row::name);
  return found == std::end(rows) ? nullptr : found;
}

}  // namespace

std::span<const KeyInfo> match_keys() { return kKeys; }
std::span<const StepInfo> steps() { return kSteps; }
std::span<const ParameterInfo> parameters() { return kParameters; }
std::span<const Word> words() { return kWords; }

const KeyInfo* find_key(std::string_view name) { return find_by_name(kKeys, name); }
const StepInfo* find_step(std::string_view name) { return find_by_name(kSteps, name); }

const Word* find_word(WordGroup group, std::string_view name) {
  const auto* found = std::ranges::find_if(
      kWords, [&](const Word& word) { return word.group == group && word.name == name; });
  return found == std::end(kWords) ? nullptr : found;
}

std::string_view name_of(Key key) { return kKeys[std::to_underlying(key)].name; }

std::string_view word_of(WordGroup group, int number) {
  for (const Word& word : kWords) {
    if (word.group == group && word.number == number) return word.name;
  }
  return "";
}

std::vector<std::string_view> parameter_names(std::string_view owner) {
  std::vector<std::string_view> out;
  for (const ParameterInfo& row : kParameters) {
    if (row.owner == owner) out.push_back(row.name);
  }
  return out;
}

std::vector<std::string_view> word_names(WordGroup group) {
  std::vector<std::string_view> out;
  for (const Word& word : kWords) {
    if (word.group == group) out.push_back(word.name);
  }
  return out;
}

}  // namespace fettle
