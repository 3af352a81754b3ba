// Packets for the micro-benchmarks, right ones, made by the tests' builder.
#pragma once

#include <cstddef>
#include <iterator>
#include <utility>

#include "core/bytes.h"
#include "tests/packet_builder.h"

namespace fettle::bench {

using Bytes = testing::ByteVector;

enum class Kind { kUdp4, kTcp4, kUdp6, kTcp6 };

// From a print server to port 1331, with `payload` bytes that begin with its address at byte 4. TCP
// is a SYN that names an MSS.
inline Bytes sample(Kind kind, size_t payload) {
  const bool ipv4 = kind == Kind::kUdp4 || kind == Kind::kTcp4;
  testing::PacketBuilder builder(ipv4 ? "10.20.0.11" : "2001:db8::11",
                                 ipv4 ? "203.0.113.9" : "2001:db8:1::9");
  if (kind == Kind::kUdp4 || kind == Kind::kUdp6) {
    builder.udp(1331, 1331);
  } else {
    constexpr std::byte mss[] = {std::byte{2}, std::byte{4}, std::byte{1460 >> 8},
                                 std::byte{1460 & 0xff}};
    builder.tcp(1331, 1331, 0x02, {std::begin(mss), std::end(mss)});
  }
  Bytes bytes(payload);
  for (size_t i = 0; i < payload; ++i) bytes[i] = static_cast<std::byte>(i * 7);
  if (payload >= 8) store_be32(bytes.data() + 4, 0x0a14000b);
  return builder.payload(std::move(bytes)).build().bytes;
}

}  // namespace fettle::bench
