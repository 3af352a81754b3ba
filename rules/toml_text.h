// What TOML 1.0 says of a text's characters, checked before toml++ 3.3.0 sees it: that has no
// answer, but an undefined one, for some of the characters that may not stand there.
#pragma once

#include <optional>
#include <string_view>

#include "rules/rule.h"

namespace fettle {

// The first character that is not ASCII and stands neither in a string nor in a comment; nothing
// where there is none before the text ends or stops being TOML.
std::optional<Location> misplaced_character(std::string_view text);

}  // namespace fettle
