// Sends UDP keep-alives as Ethernet frames through an interface, as a NIC without offloads would
// deliver them: complete checksums, flows in turn, a sequence number and a time stamp in each.
// Keeps its pace, and says so where it could not.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>

#include <sysexits.h>
#include <CLI/CLI.hpp>

#include "bench/frames.h"
#include "bench/system.h"

namespace {

using namespace fettle;
using namespace fettle::bench;

// 7:4:1, spread so that no long run of one size comes.
constexpr size_t kImix[] = {40, 576, 40, 40, 1500, 40, 576, 40, 576, 40, 576, 40};
// A pace that fell behind further than this is not made up for.
constexpr int64_t kPatience = 5'000'000;

struct Options {
  std::string interface, to, source, destination;
  std::string size = "64";
  uint32_t flows = 16;
  uint32_t sources = 1;
  size_t burst = 0;
  size_t segments = 1;
  double pps = 0, mbps = 0, seconds = 1;
  size_t train = 0;
  double every = 100;
  std::string profile;
  bool sleep = false;
  int cpu = -1;
};

struct Phase {
  double pps = 0;  // 0: as fast as it goes
  double seconds = 1;
};

struct PhaseResult {
  int64_t begin_ns = 0, end_ns = 0;  // CLOCK_REALTIME, as the sink's time stamps
  uint64_t sent = 0, late = 0;
  int error = 0;
};

// Nothing where the text is wrong.
std::vector<size_t> parse_sizes(const std::string& text) {
  if (text == "imix") return {std::begin(kImix), std::end(kImix)};
  const auto size = static_cast<size_t>(std::strtoul(text.c_str(), nullptr, 10));
  if (size < kSmallest || size > kLargest) return {};
  return {size};
}

// "max:1,50000:2.5"; nothing where the text is wrong.
std::vector<Phase> parse_profile(const std::string& text) {
  std::vector<Phase> phases;
  for (const std::string& part : CLI::detail::split(text, ',')) {
    const size_t colon = part.find(':');
    if (colon == std::string::npos) return {};
    Phase phase;
    phase.pps = part.substr(0, colon) == "max" ? 0 : std::atof(part.c_str());
    phase.seconds = std::atof(part.c_str() + colon + 1);
    if (phase.seconds <= 0 || (phase.pps <= 0 && part.substr(0, colon) != "max")) return {};
    phases.push_back(phase);
  }
  return phases;
}

void sleep_until(int64_t due) {
  const timespec time{.tv_sec = due / 1'000'000'000, .tv_nsec = due % 1'000'000'000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}

// Spins, because a sleep would be late by more than a packet's time, or sleeps where the CPU is
// shared. False: the end came first.
bool wait_until(int64_t due, int64_t end, bool sleep) {
  int64_t time = now(CLOCK_MONOTONIC);
  if (sleep && time < due) sleep_until(std::min(due, end));
  while (time < due && time < end) time = now(CLOCK_MONOTONIC);
  return time < end;
}

// Bursts at the phase's pace.
PhaseResult send_paced(Sender& sender, const Phase& phase, size_t burst, bool sleep) {
  PhaseResult result{.begin_ns = now(CLOCK_REALTIME)};
  const int64_t begin = now(CLOCK_MONOTONIC);
  const int64_t end = begin + static_cast<int64_t>(phase.seconds * 1e9);
  const double step = phase.pps > 0 ? static_cast<double>(burst) * 1e9 / phase.pps : 0;
  double due = static_cast<double>(begin);
  while (result.error == 0 && wait_until(static_cast<int64_t>(due), end, sleep)) {
    const int64_t behind = now(CLOCK_MONOTONIC) - static_cast<int64_t>(due);
    if (step > 0 && behind > kPatience) {
      ++result.late;
      due += static_cast<double>(behind);
    }
    result.error = sender.send(burst);
    result.sent += burst;
    due += step;
  }
  result.end_ns = now(CLOCK_REALTIME);
  return result;
}

// `train` packets at once every `gap` nanoseconds, the last one whole.
PhaseResult send_trains(Sender& sender, const Phase& phase, size_t train, int64_t gap) {
  PhaseResult result{.begin_ns = now(CLOCK_REALTIME)};
  const int64_t begin = now(CLOCK_MONOTONIC);
  const int64_t end = begin + static_cast<int64_t>(phase.seconds * 1e9);
  for (int64_t due = begin; due < end && result.error == 0; due += gap) {
    sleep_until(due);
    for (size_t left = train; left > 0 && result.error == 0;) {
      const size_t burst = std::min(left, Sender::kLargestBurst);
      result.error = sender.send(burst);
      result.sent += burst;
      left -= burst;
    }
  }
  result.end_ns = now(CLOCK_REALTIME);
  return result;
}

double cpu_seconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

// One JSON object.
void print(const std::vector<PhaseResult>& phases, const Sender& sender) {
  const double seconds = static_cast<double>(phases.back().end_ns - phases.front().begin_ns) / 1e9;
  uint64_t late = 0;
  for (const PhaseResult& phase : phases) late += phase.late;
  std::printf(R"({"sent": %ju, "bytes": %ju, "seconds": %.6f, "late": %ju, "cpu_seconds": %.3f, )",
              uintmax_t{sender.sent()}, uintmax_t{sender.bytes()}, seconds, uintmax_t{late},
              cpu_seconds());
  std::printf(R"("phases": [)");
  for (const PhaseResult& phase : phases) {
    std::printf(R"(%s{"begin_ns": %jd, "end_ns": %jd, "sent": %ju})",
                &phase == phases.data() ? "" : ", ", intmax_t{phase.begin_ns},
                intmax_t{phase.end_ns}, uintmax_t{phase.sent});
  }
  std::printf("]}\n");
}

int refuse(const char* flag, const std::string& found, const char* expected) {
  std::fprintf(stderr, "packet_sender: %s: found \"%s\", expected %s\n", flag, found.c_str(),
               expected);
  return EX_USAGE;
}

int run(const Options& options) {
  Flows flows{.count = options.flows,
              .sources = options.sources,
              .segments = options.segments,
              .source = {},
              .destination = {}};
  const auto source = Address::parse(options.source);
  const auto destination = Address::parse(options.destination);
  if (!source || source->family != Family::kIpv4)
    return refuse("--source", options.source, "an IPv4 address");
  if (!destination || destination->family != Family::kIpv4)
    return refuse("--destination", options.destination, "an IPv4 address");
  flows.source = *source;
  flows.destination = *destination;
  if (!ether_aton_r(options.to.c_str(), &flows.to))
    return refuse("--to", options.to, "an Ethernet address");
  const std::vector<size_t> sizes = parse_sizes(options.size);
  if (sizes.empty()) return refuse("--size", options.size, "bytes from 40 to 1500, or imix");
  std::vector<Phase> phases = parse_profile(options.profile);
  if (phases.empty() && !options.profile.empty())
    return refuse("--profile", options.profile, "PPS:SECONDS,... like max:1,50000:2");
  const double mean = static_cast<double>(std::accumulate(sizes.begin(), sizes.end(), size_t{0})) /
                      static_cast<double>(sizes.size());
  const double pps = options.mbps > 0 ? options.mbps * 1e6 / 8 / mean : options.pps;
  if (phases.empty()) phases.push_back({.pps = pps, .seconds = options.seconds});

  const int fd = open_interface(options.interface);
  const int one = 1;
  const bool super_packets = options.segments > 1;
  if (fd < 0 ||
      (super_packets && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0)) {
    std::fprintf(stderr, "packet_sender: %s: %s\n", options.interface.c_str(),
                 std::strerror(errno));
    return EX_NOINPUT;
  }
  Sender sender(fd, flows, sizes);
  std::vector<PhaseResult> results;
  for (const Phase& phase : phases) {
    const size_t burst = options.burst   ? options.burst
                         : phase.pps > 0 ? std::max<size_t>(4, options.segments)
                                         : std::max<size_t>(32, options.segments);
    const auto gap = static_cast<int64_t>(options.every * 1e6);
    results.push_back(options.train ? send_trains(sender, phase, options.train, gap)
                                    : send_paced(sender, phase, burst, options.sleep));
    if (results.back().error == 0) continue;
    std::fprintf(stderr, "packet_sender: %s: %s\n", options.interface.c_str(),
                 std::strerror(results.back().error));
    return EX_IOERR;
  }
  print(results, sender);
  return EX_OK;
}

void add_flags(CLI::App& app, Options* options) {
  app.add_option("--interface", options->interface, "Interface to send through")->required();
  app.add_option("--to", options->to, "Ethernet address of the next hop")->required();
  app.add_option("--source", options->source, "First source address")->required();
  app.add_option("--destination", options->destination, "Destination address")->required();
  app.add_option("--size", options->size,
                 "Bytes of each IP packet, 40-1500, or imix (7:4:1 of "
                 "40, 576 and 1500)")
      ->capture_default_str();
  app.add_option("--flows", options->flows, "Source ports, in turn")
      ->check(CLI::Range(1u, 40000u))
      ->capture_default_str();
  app.add_option("--sources", options->sources, "Source addresses that the flows are spread over")
      ->check(CLI::Range(1u, 65536u))
      ->capture_default_str();
  auto* pps = app.add_option("--pps", options->pps, "Packets a second (default: all it can)");
  app.add_option("--mbps", options->mbps, "Mbit/s of IP packets")->excludes(pps);
  app.add_option("--seconds", options->seconds, "How long")->capture_default_str();
  app.add_option("--burst", options->burst, "Packets per sendmmsg (default: 32, paced 4)")
      ->check(CLI::Range(size_t{1}, Sender::kLargestBurst));
  app.add_option("--super", options->segments,
                 "Packets that are handed over as one super-packet of UDP, for a queue without GSO")
      ->check(CLI::Range(size_t{1}, kMostSegments))
      ->capture_default_str();
  app.add_option("--train", options->train, "So many packets at once, nothing in between");
  app.add_option("--every", options->every, "Milliseconds from train to train")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--profile", options->profile, "PPS:SECONDS,... one after the other; max as PPS");
  app.add_flag("--sleep", options->sleep, "Between bursts, where others need the CPU");
  app.add_option("--cpu", options->cpu, "CPU to run on (default: any)");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Sends UDP packets with sequence numbers and time stamps, and prints one JSON object.\n"
      "Example: packet_sender --interface v1a --to 02:fe:00:00:01:01 --source 10.77.1.2 \\\n"
      "             --destination 10.77.2.2 --size imix --mbps 1000 --seconds 5"};
  add_flags(app, &options);
  CLI11_PARSE(app, argc, argv);
  if (!run_on(options.cpu)) {
    return refuse("--cpu", std::to_string(options.cpu), "a CPU of this machine");
  }
  return run(options);
}
