// Sends UDP keep-alives as Ethernet frames through an interface, as a NIC without offloads would
// deliver them: complete checksums, 16 source ports in turn, the sender's address at bytes 4-7 of
// the payload.
//
//   packet_sender INTERFACE DST-MAC SRC-IP DST-IP PAYLOAD-BYTES SECONDS [PACKETS-PER-SECOND]
//
// Prints the number of packets sent.
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <arpa/inet.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include <sysexits.h>

#include "core/address.h"
#include "core/bytes.h"
#include "core/checksum.h"

namespace {

using namespace fettle;
using Clock = std::chrono::steady_clock;

constexpr size_t kBurst = 32;
constexpr uint16_t kFlows = 16;
constexpr size_t kEthernet = 14;
constexpr size_t kHeaders = kEthernet + 20 + 8;

std::vector<std::byte> make_frame(const ether_addr& to, const Address& src, const Address& dst,
                                  size_t payload, uint16_t flow) {
  std::vector<std::byte> frame(kHeaders + payload);
  std::memcpy(frame.data(), &to, 6);
  store_be16(frame.data() + 12, ETHERTYPE_IP);
  std::byte* ip = frame.data() + kEthernet;
  store_u8(ip, 0x45);
  store_be16(ip + 2, static_cast<uint16_t>(28 + payload));
  store_u8(ip + 8, 64);
  store_u8(ip + 9, 17);
  std::memcpy(ip + 12, src.bytes.data(), 4);
  std::memcpy(ip + 16, dst.bytes.data(), 4);
  store<uint16_t>(ip + 10, ipv4_header_checksum({ip, 20}));
  store_be16(ip + 20, static_cast<uint16_t>(20000 + flow));
  store_be16(ip + 22, 1331);
  store_be16(ip + 24, static_cast<uint16_t>(8 + payload));
  if (payload >= 8) std::memcpy(ip + 32, src.bytes.data(), 4);
  const Packet packet = parse({ip, frame.size() - kEthernet});
  store<uint16_t>(ip + 26, full_transport_checksum(packet));
  return frame;
}

int open_interface(const char* name) {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(if_nametoindex(name));
  if (fd < 0 || address.sll_ifindex == 0 ||
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return -1;
  }
  const int one = 1;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    std::fprintf(stderr,
                 "usage: packet_sender INTERFACE DST-MAC SRC-IP DST-IP BYTES SECONDS [PPS]\n");
    return EX_USAGE;
  }
  const auto src = Address::parse(argv[3]);
  const auto dst = Address::parse(argv[4]);
  const ether_addr* to = ether_aton(argv[2]);
  const int fd = open_interface(argv[1]);
  if (!src || !dst || !to || fd < 0) {
    std::perror("packet_sender");
    return EX_USAGE;
  }
  const auto payload = static_cast<size_t>(std::atoi(argv[5]));
  const double seconds = std::atof(argv[6]);
  const double rate = argc > 7 ? std::atof(argv[7]) : 0;

  std::vector<std::vector<std::byte>> frames;
  for (uint16_t i = 0; i < kBurst; ++i)
    frames.push_back(make_frame(*to, *src, *dst, payload, i % kFlows));
  std::vector<iovec> vectors;
  for (auto& frame : frames) vectors.push_back({.iov_base = frame.data(), .iov_len = frame.size()});
  std::vector<mmsghdr> headers(kBurst);
  for (size_t i = 0; i < kBurst; ++i) {
    headers[i].msg_hdr.msg_iov = &vectors[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  const size_t burst = rate > 0 && rate < 1e6 ? 4 : kBurst;
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration<double>(seconds);
  uint64_t sent = 0;
  while (Clock::now() < end) {
    const int n = sendmmsg(fd, headers.data(), static_cast<unsigned>(burst), 0);
    if (n > 0) sent += static_cast<uint64_t>(n);
    if (rate <= 0) continue;
    const auto due = begin + std::chrono::duration<double>(static_cast<double>(sent) / rate);
    while (Clock::now() <
           std::min<std::chrono::time_point<Clock, std::chrono::duration<double>>>(due, end)) {
    }
  }
  std::printf("%llu\n", static_cast<unsigned long long>(sent));
  return EX_OK;
}
