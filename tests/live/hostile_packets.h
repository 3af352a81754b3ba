// Packets that somebody hostile could send through a router, in all their kinds, by a seed: the
// same seed gives the same packets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tests/live/packet_writer.h"

namespace fettle::testing {

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

class HostilePackets : private PacketWriter {
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
    uint32_t segments = 0;               // still to come
    uint32_t first = 0;                  // sequence number of the stream to the server
    std::array<uint32_t, 2> sequence{};  // next of each direction
  };

  Connection connection();
  void make(HostileKind kind);
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

  std::vector<std::vector<std::byte>> valid_;
  std::vector<Connection> connections_;
  uint16_t gso_size_ = 0;
};

}  // namespace fettle::testing
