#include "workers/queue_range.h"

#include <charconv>

#include <fmt/format.h>

namespace fettle {
namespace {

bool parse_queue(std::string_view text, uint16_t* queue) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *queue);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

Result<std::pair<uint16_t, uint16_t>> parse_queue_range(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view end = colon == std::string_view::npos ? text : text.substr(colon + 1);
  uint16_t first = 0;
  uint16_t last = 0;
  if (parse_queue(text.substr(0, colon), &first) && parse_queue(end, &last) && first <= last) {
    return std::pair(first, last);
  }
  return fail(ErrorCode::kUsage,
              fmt::format("--queue-balance: found \"{}\", expected a queue like 0 or "
                          "a range like 0:3, with numbers from 0 to 65535",
                          text));
}

}  // namespace fettle
