// Counts what packet_sender's packets become: losses, order and duplicates by their sequence
// numbers, latency by their time stamps and the kernel's time of arrival. Taps an interface, so
// that the packets may be dropped behind it, and sleeps between looks at the ring it shares with
// the kernel: waking up for packets would disturb what is measured.
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include <arpa/inet.h>
#include <sysexits.h>
#include <CLI/CLI.hpp>

#include "bench/arrivals.h"
#include "bench/matched.h"
#include "bench/system.h"

namespace {

using namespace fettle::bench;

constexpr unsigned kBlockSize = 1 << 20;
constexpr unsigned kRetireMilliseconds = 20;
constexpr unsigned kLookMicroseconds = 10'000;
constexpr int kHeaderBytes = 14 + 20 + 8 + 12;  // up to the end of the stamp

volatile sig_atomic_t g_stop = 0;

struct Options {
  std::string interface;
  uint32_t sample = 1;
  unsigned ring = 64;
  double skip = 0, timeline = 0;
  bool checksums = false;
  std::string match;
  int cpu = -1;
};

// UDP over IPv4 to the port, and of that each packet whose sequence number is a multiple of
// `sample`, a power of two; `snap` bytes of it.
bool set_filter(int fd, uint32_t sample, uint32_t snap) {
  sock_filter code[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IP, 0, 8),
                        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 6),
                        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 36),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kPort, 0, 4),
                        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 42),
                        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, sample - 1),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
                        BPF_STMT(BPF_RET | BPF_K, snap),
                        BPF_STMT(BPF_RET | BPF_K, 0)};
  const sock_fprog program{.len = std::size(code), .filter = code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

// All packets' headers.
bool set_snap(int fd) {
  sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 64)};
  const sock_fprog program{.len = std::size(code), .filter = code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

class Ring {
 public:
  // False: errno says why.
  bool open(const Options& options) {
    fd_ = socket(AF_PACKET, SOCK_RAW, 0);
    const int version = TPACKET_V3;
    tpacket_req3 request{};
    request.tp_block_size = kBlockSize;
    request.tp_block_nr = options.ring;
    request.tp_frame_size = 2048;
    request.tp_frame_nr = kBlockSize / 2048 * options.ring;
    request.tp_retire_blk_tov = kRetireMilliseconds;
    blocks_ = options.ring;
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(options.match.empty() ? ETH_P_IP : ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(options.interface.c_str()));
    if (fd_ < 0 || address.sll_ifindex == 0 ||
        !(options.match.empty()
              ? set_filter(fd_, options.sample, options.checksums ? 2048 : kHeaderBytes)
              : set_snap(fd_)) ||
        setsockopt(fd_, SOL_PACKET, PACKET_VERSION, &version, sizeof version) != 0 ||
        setsockopt(fd_, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0) {
      return false;
    }
    void* at = mmap(nullptr, size_t{kBlockSize} * blocks_, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_POPULATE, fd_, 0);
    if (at == MAP_FAILED) return false;
    memory_ = static_cast<std::byte*>(at);
    return bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }

  // Every block that the kernel has closed, in order.
  template <typename Visit>
  void drain(Visit&& visit) {
    for (;;) {
      auto* block = record<tpacket_block_desc>(memory_ + size_t{kBlockSize} * next_);
      auto* status = &block->hdr.bh1.block_status;
      if (!(__atomic_load_n(status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) return;
      auto* at = reinterpret_cast<std::byte*>(block) + block->hdr.bh1.offset_to_first_pkt;
      for (unsigned i = 0; i < block->hdr.bh1.num_pkts; ++i) {
        const auto* header = record<tpacket3_hdr>(at);
        visit(*header, std::span<std::byte>(at + header->tp_mac, header->tp_snaplen));
        at += header->tp_next_offset;
      }
      __atomic_store_n(status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
      next_ = (next_ + 1) % blocks_;
    }
  }

  // That found no room in the ring.
  unsigned dropped() const {
    tpacket_stats_v3 statistics{};
    socklen_t size = sizeof statistics;
    getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &statistics, &size);
    return statistics.tp_drops;
  }

 private:
  // The kernel aligns its records.
  template <typename T>
  static T* record(void* at) {
    return static_cast<T*>(at);
  }

  int fd_ = -1;
  unsigned blocks_ = 0, next_ = 0;
  std::byte* memory_ = nullptr;
};

int run(const Options& options) {
  Ring ring;
  if (!ring.open(options)) {
    std::fprintf(stderr, "packet_sink: %s: %s\n", options.interface.c_str(), std::strerror(errno));
    return EX_NOINPUT;
  }
  Arrivals arrivals({.sample = options.sample,
                     .skip_ns = static_cast<int64_t>(options.skip * 1e9),
                     .bucket_ns = static_cast<int64_t>(options.timeline * 1e6),
                     .checksums = options.checksums});
  Matched matched;
  const auto take = [&](const tpacket3_hdr& header, std::span<std::byte> frame) {
    const int64_t time = int64_t{header.tp_sec} * 1'000'000'000 + header.tp_nsec;
    if (!options.match.empty()) return matched.add(time, frame);
    arrivals.add(time, frame, header.tp_status & TP_STATUS_CSUMNOTREADY);
  };
  std::puts("ready");
  std::fflush(stdout);
  while (!g_stop) {
    usleep(kLookMicroseconds);
    ring.drain(take);
  }
  usleep(2 * kRetireMilliseconds * 1000);  // until the kernel has closed the last block
  ring.drain(take);
  if (options.match.empty()) {
    arrivals.print(ring.dropped());
  } else if (!matched.print(options.match, ring.dropped())) {
    std::fprintf(stderr, "packet_sink: %s: %s\n", options.match.c_str(), std::strerror(errno));
    return EX_NOINPUT;
  }
  return EX_OK;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Counts packet_sender's packets on an interface until SIGTERM, and prints one JSON object.\n"
      "Example: packet_sink --interface v2b --sample 8"};
  app.add_option("--interface", options.interface, "Interface to tap")->required();
  app.add_option("--sample", options.sample, "Look at each so many-th packet, a power of two")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const unsigned long n = std::strtoul(text.c_str(), nullptr, 10);
            return n > 0 && (n & (n - 1)) == 0 ? "" : "found " + text + ", expected a power of two";
          },
          "POWER-OF-2"))
      ->capture_default_str();
  app.add_option("--skip", options.skip, "Seconds at the beginning without latency")
      ->capture_default_str();
  app.add_option("--timeline", options.timeline, "Also latency by so many milliseconds each");
  app.add_option("--ring", options.ring, "MiB of the ring shared with the kernel")
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  app.add_flag("--checksums", options.checksums, "Verify the checksums of what is looked at");
  app.add_option("--match", options.match,
                 "capture_sender's packets instead, by the file of its --times, read at the end");
  app.add_option("--cpu", options.cpu, "CPU to run on (default: any)");
  CLI11_PARSE(app, argc, argv);
  if (!run_on(options.cpu)) {
    std::fprintf(stderr, "packet_sink: CPU %d: %s\n", options.cpu, std::strerror(errno));
    return EX_USAGE;
  }
  struct sigaction stop {};
  stop.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGTERM, &stop, nullptr);
  sigaction(SIGINT, &stop, nullptr);
  return run(options);
}
