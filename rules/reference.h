// The reference of the rule language, made from the vocabulary: rules/README.md is this text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fettle {

std::string reference_markdown();

// The ```toml blocks of a text in Markdown, each a rule file.
std::vector<std::string> toml_examples(std::string_view markdown);

}  // namespace fettle
