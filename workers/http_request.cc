#include "workers/http_request.h"

#include <algorithm>

#include <fmt/format.h>

namespace fettle {
namespace {

constexpr std::string_view kPath = "/metrics";

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Service Unavailable";
  }
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
}

// Also in the form that proxies take: "http://host/metrics".
std::string_view path_of(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (target.starts_with(kScheme)) {
    target.remove_prefix(std::min(target.find('/', kScheme.size()), target.size()));
  }
  return target.substr(0, target.find('?'));
}

HttpRequest judge_line(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return {.status = 400};
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method) || target.empty() || target.find(' ') != std::string_view::npos) {
    return {.status = 400};
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return {.status = version.starts_with("HTTP/") ? 505 : 400};
  }
  const bool head = method == "HEAD";
  if (!head && method != "GET") return {.status = 405};
  return {.status = path_of(target) == kPath ? 200 : 404, .head = head};
}

}  // namespace

HttpRequest judge_http_request(std::string_view received) {
  const bool too_long = received.size() > kLongestHttpHead;
  // Before a request there may be an empty line (RFC 9112, 2.2).
  received.remove_prefix(std::min(received.find_first_not_of("\r\n"), received.size()));
  const size_t end = std::min(received.find("\n\r\n"), received.find("\n\n"));
  if (end == std::string_view::npos) return {.status = too_long ? 431 : 0};
  if (end > kLongestHttpHead) return {.status = 431};
  std::string_view line = received.substr(0, received.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return judge_line(line);
}

std::string http_answer(int status, std::string_view content, bool head) {
  const std::string said = fmt::format("{} {}; expected GET /metrics\n", status, reason_of(status));
  if (status != 200) content = said;
  return fmt::format(
      "HTTP/1.1 {} {}\r\n"
      "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
      "Content-Length: {}\r\n{}"
      "Connection: close\r\n\r\n{}",
      status, reason_of(status), content.size(), status == 405 ? "Allow: GET, HEAD\r\n" : "",
      head ? std::string_view() : content);
}

}  // namespace fettle
