#include "workers/metrics_address.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "workers/printable.h"

namespace fettle {
namespace {

constexpr int kBacklog = 512;

bool parse_port(std::string_view text, uint16_t* port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *port);
  return error == std::errc{} && end == text.data() + text.size() && *port > 0;
}

std::unexpected<Error> cannot(const MetricsAddress& at, int error) {
  const std::string where = at.to_string();
  switch (error) {
    case EADDRINUSE:
      return fail(ErrorCode::kUnavailable,
                  fmt::format("--metrics: {} is taken: another program listens there "
                              "(ss -ltnp 'sport = {}'); give another port",
                              where, at.port));
    case EADDRNOTAVAIL:
      return fail(ErrorCode::kUnavailable,
                  fmt::format("--metrics: found {}, expected an address that this machine has "
                              "(ip address)",
                              where));
    case EACCES:
    case EPERM:
      return fail(ErrorCode::kNoPermission,
                  fmt::format("--metrics: {}: {}; a port below 1024 needs CAP_NET_BIND_SERVICE",
                              where, std::strerror(error)));
    default:
      return fail(ErrorCode::kOs,
                  fmt::format("--metrics: cannot listen at {}: {}", where, std::strerror(error)));
  }
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress socket_address(const MetricsAddress& at) {
  SocketAddress out;
  if (at.address.family == Family::kIpv4) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(at.port);
    std::memcpy(&address.sin_addr, at.address.bytes.data(), sizeof address.sin_addr);
    std::memcpy(&out.storage, &address, out.size = sizeof address);
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(at.port);
    std::memcpy(&address.sin6_addr, at.address.bytes.data(), sizeof address.sin6_addr);
    std::memcpy(&out.storage, &address, out.size = sizeof address);
  }
  return out;
}

}  // namespace

std::string MetricsAddress::to_string() const {
  const std::string host = address.to_string();
  return address.family == Family::kIpv6 ? fmt::format("[{}]:{}", host, port)
                                         : fmt::format("{}:{}", host, port);
}

Result<MetricsAddress> parse_metrics_address(std::string_view text) {
  const size_t colon = std::min(text.rfind(':'), text.size());
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (brackets) host = host.substr(1, host.size() - 2);
  MetricsAddress out;
  const auto address = Address::parse(host);
  const bool fits = address && (address->family == Family::kIpv6) == brackets;
  if (fits && colon < text.size() && parse_port(text.substr(colon + 1), &out.port)) {
    out.address = *address;
    return out;
  }
  return fail(ErrorCode::kUsage,
              fmt::format("--metrics: found \"{}\", expected an address and a port from 1 to "
                          "65535, like 127.0.0.1:9464 or [::1]:9464",
                          printable(text)));
}

Result<Descriptor> listen_at(const MetricsAddress& at) {
  const SocketAddress address = socket_address(at);
  Descriptor out(
      socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!out) return cannot(at, errno);
  const int on = 1;
  const int off = 0;
  // Connections of a fettle that has just ended do not keep the next one out; [::] is all there is.
  setsockopt(out.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (at.address.family == Family::kIpv6) {
    setsockopt(out.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address.storage));
  if (bind(out.get(), generic, address.size) != 0 || listen(out.get(), kBacklog) != 0) {
    return cannot(at, errno);
  }
  return out;
}

}  // namespace fettle
