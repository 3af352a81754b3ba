// An arbitrary request has one outcome, however it is cut into pieces: what was judged once is not
// judged otherwise when more has come.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "workers/http_request.h"

namespace {

using namespace fettle;

void check(bool holds) {
  if (!holds) std::abort();
}

constexpr int kStatuses[] = {0, 200, 400, 404, 405, 431, 505};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Exactly as large as what came, so that a sanitizer sees the first byte beyond.
  const std::unique_ptr<char[]> copy(new char[size]);
  std::copy_n(reinterpret_cast<const char*>(data), size, copy.get());
  const std::string_view received(copy.get(), size);
  const HttpRequest whole = judge_http_request(received);
  check(std::ranges::find(kStatuses, whole.status) != std::end(kStatuses));
  check(whole.status != 0 || size <= kLongestHttpHead);
  if (whole.status == 200) check(received.find("/metrics") != std::string_view::npos);
  const size_t step = std::max<size_t>(size / 64, 1);
  for (size_t part = 0; part < size; part += step) {
    const HttpRequest early = judge_http_request(received.substr(0, part));
    if (early.status == 0 || early.status == 431) continue;
    check(early.status == whole.status && early.head == whole.head);
    break;
  }
  const std::string answer = http_answer(whole.status, received, whole.head);
  check(answer.starts_with("HTTP/1.1 ") && answer.find("\r\n\r\n") != std::string::npos);
  if (whole.status != 200) check(answer.size() < 400);
  return 0;
}
