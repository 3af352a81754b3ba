// Sends the IP packets of a capture again and again as Ethernet frames, at a pace. Each carries its
// number, modulo 65536, in IPv4's identification or the low bits of IPv6's flow label, which
// routers leave alone; when each was sent goes into a file, by which packet_sink --match tells
// latency and loss.
#include <net/ethernet.h>
#include <netinet/ether.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include <sysexits.h>
#include <CLI/CLI.hpp>

#include "bench/system.h"
#include "core/capture.h"
#include "core/checksum.h"
#include "core/link_layer.h"

namespace {

using namespace fettle;
using namespace fettle::bench;

struct Options {
  std::string capture, interface, to, times;
  double pps = 0, seconds = 1;
  size_t burst = 16;
  int cpu = -1;
};

struct Skipped {
  size_t not_ip = 0, not_whole = 0, not_routable = 0;
};

int64_t now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
}

// What a router forwards by default: no multicast, loopback or link-local address, nothing that it
// has to look into.
bool routable(const Packet& packet) {
  for (const std::byte* address : {packet.src_bytes(), packet.dst_bytes()}) {
    const uint8_t first = load_u8(address), second = load_u8(address + 1);
    if (packet.family == Family::kIpv4 && (first == 0 || first == 127 || first >= 224))
      return false;
    if (packet.family == Family::kIpv4 && first == 169 && second == 254) return false;
    if (packet.family == Family::kIpv6 && (first == 0 || first >= 0xfe)) return false;
  }
  if (packet.family == Family::kIpv4) return (load_u8(packet.data) & 15) == 5;
  return load_u8(packet.data + 6) != 0;  // hop-by-hop options
}

// One packet as a frame.
std::vector<std::byte> frame_of(const Packet& packet, const ether_addr& to) {
  std::vector<std::byte> frame(14 + packet.length);
  std::memcpy(frame.data(), &to, 6);
  const bool ipv4 = packet.family == Family::kIpv4;
  store_be16(frame.data() + 12, ipv4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
  std::memcpy(frame.data() + 14, packet.data, packet.length);
  store_u8(frame.data() + 14 + (ipv4 ? 8 : 7), 64);
  return frame;
}

void number(std::vector<std::byte>& frame, uint16_t id) {
  std::byte* ip = frame.data() + 14;
  if (load_u8(ip) >> 4 == 4) {
    store_be16(ip + 4, id);
    store<uint16_t>(ip + 10, ipv4_header_checksum({ip, 20}));
  } else {
    store_be16(ip + 2, id);
  }
}

void add_frame(const Record& record, const ether_addr& to,
               std::vector<std::vector<std::byte>>* frames, Skipped* skipped) {
  if (record.frame.data() == nullptr) return;
  const auto network = network_layer(record.link_type, record.frame);
  const Packet packet = network ? parse(*network) : Packet{};
  if (packet.stop == ParseStop::kNotIp || packet.stop == ParseStop::kTruncatedNetwork ||
      packet.stop == ParseStop::kBadNetworkLength) {
    ++skipped->not_ip;
  } else if (packet.truncated() || packet.length > 65535 - 14) {
    ++skipped->not_whole;
  } else if (!routable(packet)) {
    ++skipped->not_routable;
  } else {
    frames->push_back(frame_of(packet, to));
  }
}

Result<std::vector<std::vector<std::byte>>> load_capture(const std::string& path,
                                                         const ether_addr& to, Skipped* skipped) {
  auto reader = CaptureReader::open(path);
  if (!reader) return std::unexpected(reader.error());
  std::vector<std::vector<std::byte>> frames;
  CapturePiece piece;
  for (;;) {
    // What comes before an error or a damage is sent.
    if (!reader->read(&piece) || piece.records.empty()) return frames;
    for (const Record& record : piece.records) add_frame(record, to, &frames, skipped);
  }
}

// Fills `times` with when each packet was sent. 0, or an errno.
int send_all(int fd, std::vector<std::vector<std::byte>>& frames, const Options& options,
             std::vector<int64_t>* times, uint64_t* bytes) {
  std::vector<iovec> vectors(options.burst);
  std::vector<mmsghdr> headers(options.burst);
  const int64_t begin = now(CLOCK_MONOTONIC);
  const int64_t end = begin + static_cast<int64_t>(options.seconds * 1e9);
  const double step = options.pps > 0 ? static_cast<double>(options.burst) * 1e9 / options.pps : 0;
  // A burst is part of one round, so that no frame is twice in it.
  for (double due = static_cast<double>(begin);; due += step) {
    int64_t time = now(CLOCK_MONOTONIC);
    while (time < static_cast<int64_t>(due) && time < end) time = now(CLOCK_MONOTONIC);
    if (time >= end) return 0;
    const size_t from = times->size() % frames.size();
    const size_t count = std::min(options.burst, frames.size() - from);
    const int64_t stamp = now(CLOCK_REALTIME);
    for (size_t i = 0; i < count; ++i) {
      auto& frame = frames[from + i];
      number(frame, static_cast<uint16_t>(times->size()));
      times->push_back(stamp);
      *bytes += frame.size() - 14;
      vectors[i] = {.iov_base = frame.data(), .iov_len = frame.size()};
      headers[i].msg_hdr.msg_iov = &vectors[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
    for (size_t done = 0; done < count;) {
      const int n = sendmmsg(fd, &headers[done], static_cast<unsigned>(count - done), 0);
      if (n > 0) done += static_cast<size_t>(n);
      if (n <= 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) return errno;
    }
    if (count < options.burst)
      due -= step * (1 - static_cast<double>(count) / static_cast<double>(options.burst));
  }
}

int complain(const std::string& what, const char* why, int status) {
  std::fprintf(stderr, "capture_sender: %s: %s\n", what.c_str(), why);
  return status;
}

int run(const Options& options) {
  ether_addr to{};
  if (!ether_aton_r(options.to.c_str(), &to))
    return complain(options.to, "expected an Ethernet address", EX_USAGE);
  Skipped skipped;
  auto frames = load_capture(options.capture, to, &skipped);
  if (!frames) {
    std::fprintf(stderr, "capture_sender: %s\n", frames.error().message.c_str());
    return static_cast<int>(frames.error().code);
  }
  if (frames->empty())
    return complain(options.capture, "no packet in it that a router forwards", EX_DATAERR);
  const int fd = open_interface(options.interface);
  if (fd < 0) return complain(options.interface, std::strerror(errno), EX_NOINPUT);
  std::vector<int64_t> times;
  times.reserve(static_cast<size_t>(options.seconds * 2e6));
  uint64_t bytes = 0;
  const int64_t begin = now(CLOCK_MONOTONIC);
  if (const int error = send_all(fd, *frames, options, &times, &bytes))
    return complain(options.interface, std::strerror(error), EX_IOERR);
  const double seconds = static_cast<double>(now(CLOCK_MONOTONIC) - begin) / 1e9;
  FILE* out = std::fopen(options.times.c_str(), "wb");
  if (!out || std::fwrite(times.data(), sizeof times[0], times.size(), out) != times.size() ||
      std::fclose(out) != 0) {
    return complain(options.times, std::strerror(errno), EX_CANTCREAT);
  }
  std::printf(R"({"sent": %zu, "bytes": %ju, "seconds": %.6f, "in_capture": %zu, )", times.size(),
              uintmax_t{bytes}, seconds, frames->size());
  std::printf(R"("not_ip": %zu, "not_whole": %zu, "not_routable": %zu, "late": 0, "phases": []})"
              "\n",
              skipped.not_ip, skipped.not_whole, skipped.not_routable);
  return EX_OK;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Sends a capture's IP packets through an interface, and prints one JSON object.\n"
      "Example: capture_sender --interface v1a --to 02:fe:00:00:01:01 --times t.bin in.pcap"};
  app.add_option("capture", options.capture, "A pcap or pcapng file")->required();
  app.add_option("--interface", options.interface, "Interface to send through")->required();
  app.add_option("--to", options.to, "Ethernet address of the next hop")->required();
  app.add_option("--times", options.times, "File for the times of sending")->required();
  app.add_option("--pps", options.pps, "Packets a second (default: all it can)");
  app.add_option("--seconds", options.seconds, "How long; the capture begins again at its end")
      ->capture_default_str();
  app.add_option("--burst", options.burst, "Packets per sendmmsg")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--cpu", options.cpu, "CPU to run on (default: any)");
  CLI11_PARSE(app, argc, argv);
  if (!run_on(options.cpu)) {
    return complain("--cpu", std::strerror(errno), EX_USAGE);
  }
  return run(options);
}
