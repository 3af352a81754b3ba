#include "workers/doctor_facts.h"

#include <net/if.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <memory>

#include <cap-ng.h>
#include <fmt/format.h>

#include "core/nfqueue.h"
#include "workers/device_features.h"
#include "workers/firewall_source.h"
#include "workers/queue_owner.h"
#include "workers/run_tool.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestFile = 4 << 20;
constexpr int kMostCpus = 8192;

std::optional<std::string> read_file(const fs::path& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::string text;
  std::array<char, 4096> piece;  // /proc/sys refuses to fill a large buffer (ENOMEM)
  while (text.size() < kLongestFile) {
    file.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<size_t>(file.gcount()));
    if (!file) break;
  }
  return text;
}

std::string_view line_of(std::string_view text) { return text.substr(0, text.find('\n')); }

std::optional<int> read_number(const fs::path& path) {
  const auto text = read_file(path);
  int number = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), number).ec != std::errc{})
    return std::nullopt;
  return number;
}

std::optional<std::string> read_config(const std::string& release) {
  if (access("/proc/config.gz", R_OK) == 0) {
    if (const auto text = run_tool({"zcat", "/proc/config.gz"}); text && text->good()) {
      return text->out;
    }
  }
  if (auto text = read_file("/boot/config-" + release)) return text;
  return read_file(fmt::format("/lib/modules/{}/config", release));
}

void gather_queues(uint32_t first, uint32_t last, HostFacts* facts) {
  for (const QueueStatus& row : read_queue_status()) {
    if (row.queue < first || row.queue > last) continue;
    facts->queues.push_back(queue_facts(row.queue, queue_owner(row.queue)));
  }
}

// ---- the firewall ------------------------------------------------------------------------------

void gather_firewall(HostFacts* facts) {
  for (const FirewallSource& source : firewall_sources()) {
    (source.is_nft() ? facts->has_nft : facts->has_iptables) = true;
    const auto text = source.is_nft() ? run_tool({"nft", "-a", "list", "ruleset"}) : std::nullopt;
    const auto said = run_tool(source.words);
    auto read =
        read_firewall(source, said.value_or(ToolOutput{}), text ? text->out : "", &facts->firewall);
    if (!read) facts->unread.push_back(read.error().message);
  }
  if (!facts->has_nft) facts->unread.push_back("nft is not installed (apt-get install nftables)");
  for (const char* family : {"-4", "-6"}) {
    if (const auto rules = run_tool({"ip", family, "rule"})) facts->ip_rules += rules->out;
  }
}

// ---- devices and CPUs --------------------------------------------------------------------------

void gather_interrupts(const fs::path& device, DeviceFacts* facts) {
  std::error_code ignored;
  for (const char* place : {"device/msi_irqs", "device/../msi_irqs"}) {
    for (const auto& entry : fs::directory_iterator(device / place, ignored)) {
      const int number = std::atoi(entry.path().filename().c_str());
      const fs::path irq = fmt::format("/proc/irq/{}", number);
      auto cpus = read_file(irq / "effective_affinity_list");
      if (!cpus || cpus->size() < 2) cpus = read_file(irq / "smp_affinity_list");
      if (cpus) facts->interrupts.push_back({number, read_cpu_list(line_of(*cpus))});
    }
    if (!facts->interrupts.empty()) return;
  }
}

void gather_receive_queues(const fs::path& device, DeviceFacts* facts) {
  std::error_code ignored;
  for (const auto& queue : fs::directory_iterator(device / "queues", ignored)) {
    const auto mask = read_file(queue.path() / "rps_cpus");
    if (!mask) continue;
    ++facts->receive_queues;
    auto cpus = read_cpu_mask(line_of(*mask));
    if (!cpus.empty()) facts->rps.push_back(std::move(cpus));
  }
}

// Of drivers that tell them apart from other losses (networking/statistics.rst).
uint64_t read_missed(const fs::path& device) {
  uint64_t sum = 0;
  for (const char* name : {"rx_missed_errors", "rx_fifo_errors"}) {
    sum +=
        static_cast<uint64_t>(std::max(read_number(device / "statistics" / name).value_or(0), 0));
  }
  return sum;
}

DeviceFacts gather_device(const std::string& name, unsigned index) {
  DeviceFacts facts;
  facts.name = name;
  const DeviceFeatures features = read_device_features(name);
  facts.bridge = features.driver == "bridge";
  facts.physical = !features.bus.empty();
  facts.gro = features.gro;
  facts.lro = features.lro;
  facts.hardware_offload = features.hardware_offload;
  facts.ring = features.ring;
  facts.ring_most = features.ring_most;
  facts.rp_filter = read_number(fmt::format("/proc/sys/net/ipv4/conf/{}/rp_filter", name));
  // /sys may be that of another network namespace.
  const fs::path device = fs::path("/sys/class/net") / name;
  if (facts.physical && read_number(device / "ifindex") == static_cast<int>(index)) {
    gather_interrupts(device, &facts);
    gather_receive_queues(device, &facts);
    facts.missed = read_missed(device);
  }
  return facts;
}

void gather_devices(HostFacts* facts) {
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> all(if_nameindex(),
                                                                                 if_freenameindex);
  for (const auto* one = all.get(); one && one->if_index != 0; ++one) {
    if (std::string_view(one->if_name) == "lo") continue;
    facts->devices.push_back(gather_device(one->if_name, one->if_index));
  }
}

bool runs(std::string_view command) {
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    const std::string name = process.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto comm = read_file(process.path() / "comm");
    if (comm && line_of(*comm) == command) return true;
  }
  return false;
}

void gather_cpus(HostFacts* facts) {
  const fs::path root = "/sys/devices/system/cpu";
  if (const auto isolated = read_file(root / "isolated")) {
    facts->isolated_cpus = read_cpu_list(line_of(*isolated));
  }
  const auto online = read_file(root / "online");
  for (const int cpu : read_cpu_list(online ? line_of(*online) : "")) {
    const auto governor = read_file(root / fmt::format("cpu{}/cpufreq/scaling_governor", cpu));
    if (governor) facts->governors.emplace_back(cpu, line_of(*governor));
  }
  facts->irqbalance = runs("irqbalance");
  facts->swap_kib = read_swap(read_file("/proc/swaps").value_or(""));
  facts->swappiness = read_number("/proc/sys/vm/swappiness");
}

void gather_settings(HostFacts* facts) {
  const fs::path net = "/proc/sys/net";
  facts->be_liberal = read_number(net / "netfilter/nf_conntrack_tcp_be_liberal");
  facts->bridge_calls_iptables = read_number(net / "bridge/bridge-nf-call-iptables");
  facts->bridge_calls_ip6tables = read_number(net / "bridge/bridge-nf-call-ip6tables");
  facts->forwards4 = read_number(net / "ipv4/ip_forward");
  facts->forwards6 = read_number(net / "ipv6/conf/all/forwarding");
  facts->rp_filter = read_number(net / "ipv4/conf/all/rp_filter");
}

void gather_tuning(TuningFacts* facts) {
  const fs::path core = "/proc/sys/net/core", conntrack = "/proc/sys/net/netfilter";
  facts->softnet = read_softnet(read_file("/proc/net/softnet_stat").value_or(""));
  facts->backlog = read_number(core / "netdev_max_backlog");
  facts->budget = read_number(core / "netdev_budget");
  facts->budget_usecs = read_number(core / "netdev_budget_usecs");
  facts->conntrack_max = read_number(conntrack / "nf_conntrack_max");
  facts->conntrack_count = read_number(conntrack / "nf_conntrack_count");
  facts->conntrack_buckets = read_number(conntrack / "nf_conntrack_buckets");
  facts->conntrack_writable = access((conntrack / "nf_conntrack_max").c_str(), W_OK) == 0;
}

}  // namespace

QueueFacts queue_facts(uint32_t queue, std::string owner) {
  constexpr std::string_view kProcess = "(process ";
  constexpr int kServiceManager = 1;  // keeps descriptors of its units
  QueueFacts out{.queue = queue, .owner = std::move(owner), .processes = {}};
  out.fettle = out.owner.starts_with("fettle") || out.owner.find(", fettle") != std::string::npos;
  for (size_t at = 0; (at = out.owner.find(kProcess, at)) != std::string::npos;) {
    at += kProcess.size();
    const int process = std::atoi(out.owner.c_str() + at);
    if (process != kServiceManager) out.processes.push_back(process);
  }
  return out;
}

HostFacts gather_facts(uint32_t first, uint32_t last) {
  HostFacts facts;
  utsname names{};
  if (uname(&names) == 0) facts.release = names.release;
  facts.config = read_config(facts.release);
  facts.net_admin = capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) != 0;
  if (const auto socket = QueueSocket::open(kWantedBuffer)) {
    facts.receive_buffer = socket->receive_buffer();
  }
  facts.queue_module = access("/proc/net/netfilter/nfnetlink_queue", F_OK) == 0;
  gather_queues(first, last, &facts);
  gather_firewall(&facts);
  gather_settings(&facts);
  gather_devices(&facts);
  gather_cpus(&facts);
  gather_tuning(&facts.tuning);
  return facts;
}

std::vector<int> read_cpu_list(std::string_view text) {
  std::vector<int> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    int first = 0;
    const char* const stop = part.data() + part.size();
    const auto begin = std::from_chars(part.data(), stop, first);
    int last = first;
    if (begin.ec != std::errc{}) continue;
    if (begin.ptr != stop && *begin.ptr == '-') std::from_chars(begin.ptr + 1, stop, last);
    for (int cpu = std::max(first, 0); cpu <= last && cpu < kMostCpus; ++cpu) out.push_back(cpu);
  }
  return out;
}

std::vector<int> read_cpu_mask(std::string_view text) {
  std::vector<int> out;
  int cpu = 0;
  for (size_t i = text.size(); i-- > 0 && cpu < kMostCpus;) {
    if (text[i] == ',') continue;
    uint32_t digit = 0;
    if (std::from_chars(text.data() + i, text.data() + i + 1, digit, 16).ec != std::errc{})
      continue;
    for (int bit = 0; bit < 4; ++bit) {
      if ((digit >> bit & 1) != 0) out.push_back(cpu + bit);
    }
    cpu += 4;
  }
  return out;
}

// Filename, Type, Size, Used, Priority.
uint64_t read_swap(std::string_view text) {
  uint64_t sum = 0;
  for (size_t row = 0; !text.empty(); ++row) {
    const std::string_view line = line_of(text);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t type = line.find_first_of(" \t");
    const size_t size = line.find_first_of("0123456789", std::min(type, line.size()));
    uint64_t kib = 0;
    if (row > 0 && size != std::string_view::npos) {
      std::from_chars(line.data() + size, line.data() + line.size(), kib);
    }
    sum += kib;
  }
  return sum;
}

SoftnetFacts read_softnet(std::string_view text) {
  SoftnetFacts out;
  while (!text.empty()) {
    std::string_view line = line_of(text);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    for (uint64_t* column : {&out.processed, &out.dropped, &out.squeezed}) {
      uint64_t number = 0;
      const auto read = std::from_chars(line.data(), line.data() + line.size(), number, 16);
      if (read.ec != std::errc{}) break;
      *column += number;
      line.remove_prefix(static_cast<size_t>(read.ptr - line.data()));
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    }
  }
  return out;
}

std::string config_value(std::string_view config, std::string_view option) {
  const std::string wanted = fmt::format("{}=", option);
  for (size_t at = 0; (at = config.find(wanted, at)) != std::string_view::npos; ++at) {
    if (at > 0 && config[at - 1] != '\n') continue;
    return std::string(line_of(config.substr(at + wanted.size())));
  }
  return "";
}

}  // namespace fettle
