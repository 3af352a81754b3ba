// Where metrics are to be had: an address and a TCP port, as --metrics has them.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/address.h"
#include "core/descriptor.h"
#include "core/result.h"

namespace fettle {

struct MetricsAddress {
  Address address;
  uint16_t port = 0;

  std::string to_string() const;  // "127.0.0.1:9464", "[::1]:9464"
};

// "127.0.0.1:9464", "[::1]:9464", "0.0.0.0:9464", "[::]:9464" (IPv4, too). No names, which would
// have to be asked for, and no port 0. Errors: kUsage.
Result<MetricsAddress> parse_metrics_address(std::string_view text);

// A listening socket that does not block. Errors: kUnavailable (somebody has the port, or this
// machine has no such address), kNoPermission, kOs.
Result<Descriptor> listen_at(const MetricsAddress& at);

}  // namespace fettle
