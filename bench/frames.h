// Frames of UDP keep-alives, ready to send: each burst gets its sequence numbers, time and
// checksums written in place, and goes out with one sendmmsg.
#pragma once

#include <net/ethernet.h>
#include <netinet/ether.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "bench/stamp.h"
#include "core/address.h"
#include "core/bytes.h"
#include "core/checksum.h"

namespace fettle::bench {

inline constexpr size_t kEthernet = 14;
inline constexpr size_t kSmallest = 28 + kStampSize;  // of an IP packet
inline constexpr size_t kLargest = 1500;
inline constexpr size_t kMostSegments = 40;  // of 1500 bytes in 64 KiB

inline int64_t now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
}

// struct virtio_net_hdr of linux/virtio_net.h, which no C++ compiler takes; in the machine's order.
struct VirtioHeader {
  uint8_t flags = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
  uint8_t gso_type = 0;
  uint16_t header_length = 0, gso_size = 0, checksum_start = 0, checksum_offset = 0;
};
static_assert(sizeof(VirtioHeader) == 10);
inline constexpr uint8_t kGsoUdp = 5;  // VIRTIO_NET_HDR_GSO_UDP_L4

struct Flows {
  uint32_t count = 16;
  uint32_t sources = 1;  // addresses, `source` and those behind it
  size_t segments = 1;   // packets in a super-packet
  Address source, destination;
  ether_addr to{};
};

// One frame of a burst; what differs from packet to packet is written in place.
class Frame {
 public:
  void begin(const Flows& flows) {
    super_ = flows.segments > 1;
    bytes_.resize(kVirtio + kEthernet + 28 + flows.segments * (kLargest - 28));
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<std::byte>('a' + i % 23);
    std::memset(bytes_.data(), 0, kVirtio + kEthernet + 28);
    std::memcpy(ethernet(), &flows.to, 6);
    store_be16(ethernet() + 12, ETHERTYPE_IP);
    store_u8(ip(), 0x45);
    store_u8(ip() + 8, 64);
    store_u8(ip() + 9, 17);
    std::memcpy(ip() + 16, flows.destination.bytes.data(), 4);
    store_be16(ip() + 22, kPort);
  }

  // `segments` IP packets of `size` bytes, numbered from `sequence`. Returns what to send.
  iovec fill(size_t size, size_t segments, uint32_t source, uint16_t port, uint32_t sequence,
             uint32_t time) {
    const size_t payload = size - 28, whole = 28 + payload * segments;
    store_be16(ip() + 2, static_cast<uint16_t>(whole));
    store_be32(ip() + 12, source);
    store<uint16_t>(ip() + 10, 0);
    store<uint16_t>(ip() + 10, static_cast<uint16_t>(~fold(sum({ip(), 20}))));
    store_be16(ip() + 20, port);
    store_be16(ip() + 24, static_cast<uint16_t>(whole - 20));
    for (size_t i = 0; i < segments; ++i) {
      std::byte* stamp = ip() + 28 + i * payload;
      store_be32(stamp + kSequenceAt, sequence + static_cast<uint32_t>(i));
      store_be32(stamp + kAddressAt, source);
      store_be32(stamp + kTimeAt, time);
    }
    store<uint16_t>(ip() + 26, 0);
    const uint64_t pseudo = big_endian<uint16_t>(17) + load<uint16_t>(ip() + 24);
    const uint64_t start = sum({ip() + 12, 8}, pseudo);
    if (super_) return finish_super(payload, whole, start);
    const auto checksum = static_cast<uint16_t>(~fold(sum({ip() + 20, whole - 20}, start)));
    store<uint16_t>(ip() + 26, checksum == 0 ? uint16_t{0xffff} : checksum);
    return {.iov_base = ethernet(), .iov_len = kEthernet + whole};
  }

 private:
  static constexpr size_t kVirtio = sizeof(VirtioHeader);

  // The checksum's field holds the pseudo-header's sum, and the kernel finishes it.
  iovec finish_super(size_t payload, size_t whole, uint64_t pseudo) {
    store<uint16_t>(ip() + 26, fold(pseudo));
    const bool several = whole > 28 + payload;
    const VirtioHeader header{.gso_type = several ? kGsoUdp : uint8_t{0},
                              .header_length = kEthernet + 28,
                              .gso_size = static_cast<uint16_t>(several ? payload : 0),
                              .checksum_start = kEthernet + 20,
                              .checksum_offset = 6};
    store(bytes_.data(), header);
    return {.iov_base = bytes_.data(), .iov_len = kVirtio + kEthernet + whole};
  }
  std::byte* ethernet() { return bytes_.data() + kVirtio; }
  std::byte* ip() { return ethernet() + kEthernet; }

  bool super_ = false;
  std::vector<std::byte> bytes_;
};

class Sender {
 public:
  // `sizes` of IP packets: each frame's is the next in turn.
  Sender(int fd, const Flows& flows, std::vector<size_t> sizes)
      : fd_(fd),
        flows_(flows),
        first_source_(load_be32(flows.source.bytes.data())),
        sizes_(std::move(sizes)),
        frames_(kLargestBurst),
        vectors_(kLargestBurst),
        headers_(kLargestBurst) {
    for (size_t i = 0; i < frames_.size(); ++i) {
      frames_[i].begin(flows);
      headers_[i].msg_hdr.msg_iov = &vectors_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  // `count` packets, up to kLargestBurst. 0, or an errno.
  int send(size_t count) {
    const uint32_t time = stamp_of(now(CLOCK_REALTIME));
    size_t frames = 0;
    while (count > 0) {
      const size_t segments = std::min(count, flows_.segments);
      const size_t size = sizes_[frame_ % sizes_.size()];
      const auto flow = static_cast<uint32_t>(frame_ % flows_.count);
      vectors_[frames] = frames_[frames].fill(size, segments, first_source_ + flow % flows_.sources,
                                              static_cast<uint16_t>(20000 + flow),
                                              static_cast<uint32_t>(sequence_), time);
      bytes_ += size * segments;
      sequence_ += segments;
      count -= segments;
      ++frame_;
      ++frames;
    }
    for (size_t done = 0; done < frames;) {
      const int n = sendmmsg(fd_, &headers_[done], static_cast<unsigned>(frames - done), 0);
      if (n > 0) done += static_cast<size_t>(n);
      if (n <= 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) return errno;
    }
    return 0;
  }
  uint64_t sent() const { return sequence_; }
  uint64_t bytes() const { return bytes_; }

  static constexpr size_t kLargestBurst = 256;

 private:
  int fd_;
  Flows flows_;
  uint32_t first_source_;
  std::vector<size_t> sizes_;
  std::vector<Frame> frames_;
  std::vector<iovec> vectors_;
  std::vector<mmsghdr> headers_;
  uint64_t sequence_ = 0, frame_ = 0, bytes_ = 0;
};

}  // namespace fettle::bench
