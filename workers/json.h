// JSON (RFC 8259), written.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

// A string as JSON has it. Bytes that are no UTF-8 become U+FFFD, since JSON can hold none.
std::string json_string(std::string_view text);

// An object, member by member: JsonObject().add("pid", 1).add("name", "fettle").text().
class JsonObject {
 public:
  JsonObject& add(std::string_view name, std::string_view value) {
    return add_json(name, json_string(value));
  }
  JsonObject& add(std::string_view name, const char* value) {
    return add(name, std::string_view(value));
  }
  JsonObject& add(std::string_view name, bool value) {
    return add_json(name, value ? "true" : "false");
  }
  JsonObject& add(std::string_view name, std::integral auto value) {
    return add_json(name, std::to_string(value));
  }
  // A value that is JSON already.
  JsonObject& add_json(std::string_view name, std::string_view json);
  std::string text() const { return members_ + '}'; }

 private:
  std::string members_ = "{";
};

// Of values that are JSON already.
std::string json_array(const std::vector<std::string>& values);

}  // namespace fettle
