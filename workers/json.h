// A string as JSON has it (RFC 8259).
#pragma once

#include <string>
#include <string_view>

namespace fettle {

std::string json_string(std::string_view text);

}  // namespace fettle
