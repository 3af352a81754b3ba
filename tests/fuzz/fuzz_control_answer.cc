// An arbitrary answer is refused, or says something that stays the same when it is written and read
// again, and that a terminal can show.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include <fmt/format.h>

#include "workers/control_answer.h"

namespace {

using namespace fettle;

void check(bool holds) {
  if (!holds) std::abort();
}

bool shows(char c) { return c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Exactly as large as the answer, so that a sanitizer sees the first byte beyond.
  const std::unique_ptr<char[]> copy(new char[size]);
  std::copy_n(reinterpret_cast<const char*>(data), size, copy.get());
  const auto answer = parse_control_answer({copy.get(), size});
  if (!answer) {
    check(answer.error().code == ErrorCode::kProtocol);
    check(std::ranges::all_of(answer.error().message, shows));
    return 0;
  }
  check(answer->exit >= 0 && answer->exit <= 255);
  if (!answer->status) return 0;
  check(std::ranges::all_of(status_table(*answer->status), shows));
  const std::string written = status_json(*answer->status);
  const auto again = parse_control_answer(fmt::format("{{\"exit\":0,\"status\":{}}}", written));
  check(again && again->status && status_json(*again->status) == written);
  return 0;
}
