// Sends hostile packets as Ethernet frames, through an AF_PACKET socket and no queueing discipline.
//
//   hostile_sender on=INTERFACE to=MAC [count=N] [seed=N] [queues=FILE] [waiting=N] [CAPTURE...]
//
// queues=/proc/PID/net/netfilter/nfnetlink_queue: sends on when no more than so many packets wait
// in the queues of that process's network, so that all that is sent can be looked at. Captures hold
// packets to start from. The first line says the seed, the last one is the report: key=value pairs.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/capture.h"
#include "core/link_layer.h"
#include "core/packet.h"
#include "tests/live/hostile_packets.h"

namespace {

using namespace fettle;
using testing::HostilePacket;
using testing::HostilePackets;

constexpr size_t kBurst = 64;
constexpr size_t kEthernet = 14;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "hostile_sender: %s\n", what.c_str());
  std::exit(1);
}

struct Options {
  std::string interface, to, queues;
  uint64_t count = 1000, seed = 0, waiting = 1024;
  std::vector<std::string> captures;
};

Options read_options(int argc, char** argv) {
  std::map<std::string, std::string> values;
  Options out;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    if (equals == argument.npos) {
      out.captures.push_back(argument);
    } else {
      values[argument.substr(0, equals)] = argument.substr(equals + 1);
    }
  }
  const auto number = [&](const char* key, uint64_t* to) {
    if (values.contains(key)) *to = std::strtoull(values[key].c_str(), nullptr, 10);
  };
  out.interface = values["on"];
  out.to = values["to"];
  out.queues = values["queues"];
  out.seed = std::random_device()();
  number("count", &out.count);
  number("seed", &out.seed);
  number("waiting", &out.waiting);
  if (out.interface.empty() || out.to.empty()) die("expected on=INTERFACE to=MAC");
  return out;
}

// All IP packets of a capture.
void read_capture(const std::string& path, std::vector<std::vector<std::byte>>* out) {
  auto reader = CaptureReader::open(path);
  if (!reader) die(path + ": " + reader.error().message);
  CapturePiece piece;
  while (reader->read(&piece) && !piece.records.empty()) {
    for (const Record& record : piece.records) {
      const auto network = network_layer(record.link_type, record.frame);
      if (!network || network->size() > HostilePackets::kLargest) continue;
      out->emplace_back(network->begin(), network->end());
    }
  }
}

int open_socket(const std::string& interface) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) die(std::string("socket: ") + std::strerror(errno));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (address.sll_ifindex == 0) die("found no interface " + interface);
  const int one = 1;
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) != 0 ||
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    die(interface + ": " + std::strerror(errno));
  }
  return fd;
}

// linux/virtio_net.h: virtio_net_hdr. Its header has a member that is a word of C++.
struct OffloadHeader {
  static constexpr uint8_t kNeedsChecksum = 1, kTcp4 = 1, kTcp6 = 4;
  uint8_t flags = 0, gso_type = 0;
  uint16_t header_length = 0, gso_size = 0, checksum_start = 0, checksum_offset = 0;
};
static_assert(sizeof(OffloadHeader) == 10);

// A frame with what the kernel is told beside it.
struct Frame {
  OffloadHeader aside{};
  std::array<std::byte, kEthernet> ethernet{};
  std::array<std::byte, HostilePackets::kLargest> packet{};
  std::array<iovec, 3> parts{};
};

void fill(Frame& frame, HostilePackets& packets, const ether_addr& to,
          std::array<uint64_t, testing::kHostileKinds.size()>* kinds) {
  const HostilePacket made = packets.next(frame.packet);
  ++(*kinds)[static_cast<size_t>(made.kind)];
  const bool wide = !made.bytes.empty() && load_u8(made.bytes.data()) >> 4 == 6;
  std::memcpy(frame.ethernet.data(), &to, 6);
  store_u8(&frame.ethernet[6], 2);
  store_be16(&frame.ethernet[12], wide ? 0x86dd : 0x0800);
  frame.aside = {};
  if (made.gso_size > 0) {
    const Packet packet = parse(made.bytes);
    frame.aside.flags = OffloadHeader::kNeedsChecksum;
    frame.aside.gso_type = wide ? OffloadHeader::kTcp6 : OffloadHeader::kTcp4;
    frame.aside.gso_size = made.gso_size;
    frame.aside.header_length = static_cast<uint16_t>(kEthernet + packet.payload);
    frame.aside.checksum_start = static_cast<uint16_t>(kEthernet + packet.transport);
    frame.aside.checksum_offset = 16;
  }
  frame.parts = {iovec{&frame.aside, sizeof frame.aside}, iovec{frame.ethernet.data(), kEthernet},
                 iovec{made.bytes.data(), made.bytes.size()}};
}

uint64_t waiting_in(const std::string& queues) {
  std::ifstream file(queues);
  if (!file) die(queues + ": " + std::strerror(errno));
  uint64_t sum = 0;
  uint64_t queue = 0, port = 0, waiting = 0;
  std::string rest;
  while (file >> queue >> port >> waiting && std::getline(file, rest)) sum += waiting;
  return sum;
}

void let_them_work(const Options& options) {
  if (options.queues.empty()) return;
  while (waiting_in(options.queues) > options.waiting) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

// What the kernel refuses (a super-packet that it finds wrong) counts, and is left out.
void send_all(int fd, std::span<mmsghdr> messages, uint64_t* sent, uint64_t* refused) {
  while (!messages.empty()) {
    const int done = sendmmsg(fd, messages.data(), static_cast<unsigned>(messages.size()), 0);
    if (done > 0) {
      *sent += static_cast<uint64_t>(done);
      messages = messages.subspan(static_cast<size_t>(done));
    } else if (errno == ENOBUFS || errno == EAGAIN) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    } else if (errno != EINTR) {
      if (errno != EINVAL) die(std::string("sendmmsg: ") + std::strerror(errno));
      ++*refused;
      messages = messages.subspan(1);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
  std::fflush(stdout);
  std::vector<std::vector<std::byte>> valid;
  for (const std::string& path : options.captures) read_capture(path, &valid);
  const ether_addr* to = ether_aton(options.to.c_str());
  if (to == nullptr) die("to: found " + options.to + ", expected a MAC");
  HostilePackets packets(options.seed, std::move(valid));
  const int fd = open_socket(options.interface);
  const auto frames = std::make_unique<std::array<Frame, kBurst>>();
  std::array<uint64_t, testing::kHostileKinds.size()> kinds{};
  uint64_t sent = 0, refused = 0;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t made = 0; made < options.count;) {
    std::array<mmsghdr, kBurst> messages{};
    const size_t burst = std::min<uint64_t>(kBurst, options.count - made);
    for (size_t i = 0; i < burst; ++i) {
      Frame& frame = (*frames)[i];
      fill(frame, packets, *to, &kinds);
      messages[i].msg_hdr.msg_iov = frame.parts.data();
      messages[i].msg_hdr.msg_iovlen = frame.parts.size();
    }
    send_all(fd, std::span(messages).first(burst), &sent, &refused);
    made += burst;
    if (made / kBurst % 4 == 0) let_them_work(options);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  close(fd);
  std::printf("sent=%llu refused=%llu seconds=%.1f", static_cast<unsigned long long>(sent),
              static_cast<unsigned long long>(refused), took.count());
  for (size_t i = 0; i < kinds.size(); ++i) {
    std::printf(" %s=%llu", std::string(testing::kHostileKinds[i]).c_str(),
                static_cast<unsigned long long>(kinds[i]));
  }
  std::printf("\n");
}
