// What there is on this machine, gathered once and changed by nobody; the judges (doctor_*.h) are
// pure functions of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workers/firewall.h"

namespace fettle {

struct InterruptFacts {
  int number = 0;
  std::vector<int> cpus;  // that it may go to, as in force
};

struct DeviceFacts {
  std::string name = {};
  bool bridge = false;
  bool physical = false;  // has a driver of hardware, or of a virtual machine's
  // Nothing: the driver does not say.
  std::optional<bool> gro = {}, lro = {}, hardware_offload = {};
  std::vector<InterruptFacts> interrupts = {};
  size_t receive_queues = 0;
  std::vector<std::vector<int>> rps = {};  // CPUs of each receive queue; none: RPS is off
  std::optional<int> rp_filter = {};
  // Descriptors of the receive ring, now and at most; nothing: the driver does not say.
  std::optional<uint32_t> ring = {}, ring_most = {};
  uint64_t missed = 0;  // packets lost since the start for want of a descriptor or a buffer
};

// /proc/net/softnet_stat, over all CPUs, since the start.
struct SoftnetFacts {
  uint64_t processed = 0;
  uint64_t dropped = 0;   // the CPU's backlog was full
  uint64_t squeezed = 0;  // rounds that ended with packets left over: the budget was spent
};

// What is read for fettle doctor --tune alone. Nothing: this network namespace does not show it.
struct TuningFacts {
  SoftnetFacts softnet = {};
  std::optional<int> backlog = {}, budget = {}, budget_usecs = {};  // net.core.netdev_*
  std::optional<int> conntrack_max = {}, conntrack_count = {}, conntrack_buckets = {};
  bool conntrack_writable = false;  // these, from here
};

struct QueueFacts {
  uint32_t queue = 0;
  std::string owner;    // "suricata (process 12)"
  bool fettle = false;  // a `fettle run` has it
  std::vector<int> processes;
};
// `owner`: as queue_owner() says it. Processes are those that may be ended for the queue.
QueueFacts queue_facts(uint32_t queue, std::string owner);

struct HostFacts {
  std::string release;                // uname -r
  std::optional<std::string> config;  // of the kernel, as text
  bool queue_module = false;          // nfnetlink_queue is there
  bool net_admin = false;             // CAP_NET_ADMIN
  size_t receive_buffer = 0;          // that a queue's socket gets when it asks for kWantedBuffer
  std::vector<QueueFacts> queues;     // that somebody has bound

  Firewall firewall;
  std::vector<std::string> unread;  // firewall tools that failed, with what they said
  bool has_iptables = false;
  bool has_nft = false;
  std::string ip_rules;  // `ip rule` and `ip -6 rule`

  std::optional<int> be_liberal;  // nf_conntrack_tcp_be_liberal; nothing: no connection tracking
  std::optional<int> bridge_calls_iptables, bridge_calls_ip6tables;  // nothing: no br_netfilter
  std::optional<int> forwards4, forwards6;
  std::optional<int> rp_filter;  // net.ipv4.conf.all
  std::optional<int> swappiness;

  std::vector<DeviceFacts> devices;
  std::vector<int> isolated_cpus;
  std::vector<std::pair<int, std::string>> governors;  // CPU, cpufreq governor
  bool irqbalance = false;
  uint64_t swap_kib = 0;

  TuningFacts tuning;
};

inline constexpr size_t kWantedBuffer = 64 << 20;  // fettle run's --receive-buffer

// `first` and `last`: the queues whose owners are wanted.
HostFacts gather_facts(uint32_t first, uint32_t last);

// ---- readers of text, pure ---------------------------------------------------------------------

// "0-3,8": /sys's lists of CPUs. What is none is left out; CPUs from 0 to 8191.
std::vector<int> read_cpu_list(std::string_view text);
// "00000000,0000000f": /sys's masks of CPUs.
std::vector<int> read_cpu_mask(std::string_view text);
// KiB of /proc/swaps.
uint64_t read_swap(std::string_view proc_swaps);
// /proc/net/softnet_stat: a line of hexadecimal columns for each CPU.
SoftnetFacts read_softnet(std::string_view text);
// "y", "m", or "" where the option is not set or not there.
std::string config_value(std::string_view config, std::string_view option);

}  // namespace fettle
