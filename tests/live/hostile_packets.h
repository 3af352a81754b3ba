// Packets that somebody hostile could send through a router, in all their kinds, by a seed: the
// same seed gives the same packets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "core/bytes.h"

namespace fettle::testing {

class Chance {
 public:
  explicit Chance(uint64_t seed) : engine_(seed) {}
  uint32_t word() { return static_cast<uint32_t>(engine_()); }
  uint8_t byte() { return static_cast<uint8_t>(engine_()); }
  uint32_t below(uint32_t n) { return word() % n; }
  uint32_t between(uint32_t least, uint32_t most) { return least + below(most - least + 1); }
  bool one_in(uint32_t n) { return below(n) == 0; }
  template <typename T, size_t n>
  const T& of(const std::array<T, n>& choice) {
    return choice[below(n)];
  }

 private:
  std::mt19937_64 engine_;
};

enum class HostileKind : uint8_t {
  kAsItIs,      // of a capture or made well
  kRandom,      // bytes
  kMutated,     // some bytes of one as it is
  kLengths,     // that lie: IP's, UDP's, TCP's header, IPv4's header, UDP-Lite's coverage
  kOptions,     // IPv4's and TCP's, without end or longer than there is room for
  kExtensions,  // IPv6's, up to hundreds
  kFragments,   // overlapping
  kSegment,     // of TCP connections: late, twice, beside the window, with SACK
  kTunnel,      // IP in IP and GRE, in one another
  kJumbo,       // near the MTU of 9,216, and jumbograms
  kIcmpError,   // that quote others
  kSuper,       // TCP still to be cut into segments (GSO)
};
inline constexpr std::array<std::string_view, 12> kHostileKinds{
    "as-it-is",  "random",   "mutated", "lengths", "options",    "extensions",
    "fragments", "segments", "tunnels", "jumbo",   "icmp-error", "super-packets"};

struct HostilePacket {
  std::span<std::byte> bytes;
  HostileKind kind{};
  uint16_t gso_size = 0;  // kSuper
};

class HostilePackets {
 public:
  static constexpr size_t kLargest = 9216;
  // `valid`: packets to start from, beside its own.
  HostilePackets(uint64_t seed, std::vector<std::vector<std::byte>> valid);
  // In `room`, kLargest bytes.
  HostilePacket next(std::span<std::byte> room);

 private:
  struct Connection {
    bool wide = false;
    size_t pair = 0, text = 0;
    uint16_t client = 0, server = 0;
    uint32_t first = 0;                  // sequence number of the stream to the server
    std::array<uint32_t, 2> sequence{};  // next of each direction
  };

  void make(HostileKind kind);
  // Parts, each behind what is there.
  void put(std::span<const std::byte> bytes);
  void put_random(uint32_t size);
  void put_number(uint32_t value, uint32_t size);
  void put_text(size_t text);
  void put_ip(bool wide, size_t pair, uint8_t protocol);
  void put_udp();
  void put_tcp(uint8_t flags, uint32_t words);
  void put_options(std::span<const uint8_t> types, uint32_t size);
  // Kinds.
  void take_valid();
  void mutate();
  void lie();
  void make_options();
  void make_extensions();
  void make_fragment();
  void make_segment();
  void make_tunnel();
  void make_jumbo();
  void make_icmp_error();
  void make_super();
  void put_segment_header(const Connection& connection, bool direction, uint8_t flags,
                          uint32_t from);
  void put_stream(Connection& connection, uint32_t from);
  void seal(bool checksums);
  void grow_to(uint32_t size);

  Chance chance_;
  std::vector<std::vector<std::byte>> valid_;
  std::vector<Connection> connections_;
  std::span<std::byte> room_;
  uint32_t size_ = 0;
  uint16_t gso_size_ = 0;
};

}  // namespace fettle::testing
