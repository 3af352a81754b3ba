// An arbitrary request is a command and nothing else, or refused by a message of bounded length
// that a terminal can show.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "workers/control_request.h"

namespace {

using namespace fettle;

void check(bool holds) {
  if (!holds) std::abort();
}

bool shows(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Exactly as large as the line, so that a sanitizer sees the first byte beyond.
  const std::unique_ptr<char[]> copy(new char[size]);
  std::copy_n(reinterpret_cast<const char*>(data), size, copy.get());
  const std::string_view line(copy.get(), size);
  const auto request = parse_control_request(line);
  if (request) {
    const std::string_view name = control_command_name(*request);
    const size_t at = line.find(name);
    check(at != line.npos && line.size() <= kLongestRequest);
    check(std::ranges::count(line, ' ') == static_cast<ptrdiff_t>(size - name.size()));
    return 0;
  }
  const std::string& message = request.error().message;
  check(request.error().code == ErrorCode::kUsage);
  check(message.size() < 600 && std::ranges::all_of(message, shows));
  check(message.find("expected ") != std::string::npos);
  return 0;
}
