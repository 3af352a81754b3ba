// What an HTTP client may ask for metrics: GET or HEAD of /metrics (RFC 9112). Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fettle {

inline constexpr size_t kLongestHttpHead = 8192;  // request line and header fields

struct HttpRequest {
  int status = 0;     // 0: more is to come; 200: it is to be answered; else how it is refused
  bool head = false;  // HEAD: no content
};
// Of what has come so far. Header fields are passed over: none of them changes the answer.
HttpRequest judge_http_request(std::string_view received);

// A whole answer, after which the connection ends. `content` goes with 200 alone, and with `head`
// its length does.
std::string http_answer(int status, std::string_view content, bool head);

}  // namespace fettle
