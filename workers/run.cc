// fettle run: the supervisor and its workers.
#include <memory>
#include <tuple>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "rules/vocabulary.h"
#include "workers/commands.h"
#include "workers/log.h"
#include "workers/push_down.h"
#include "workers/queue_range.h"
#include "workers/supervisor.h"
#include "workers/topology.h"

namespace fettle {
namespace {

constexpr uint32_t kLargestBatch = 256;
// More than this the kernel does not queue, whatever it is told (the id table of 6.18).
constexpr uint32_t kLongestQueue = 65536;

struct RunFlags {
  RunOptions options;
  std::string queue_balance;
  std::string cpus;
  std::string metrics;
  std::string on_crash = "accept";
  std::string on_stop = "auto";
  bool fail_open = false;  // the defaults, spelt out
  bool gso = false;
  bool fail_closed = false;
  bool no_gso = false;
  bool no_conntrack = false;
  bool no_self_test = false;
  bool no_sandbox = false;
  std::string steer, steer_hook, steer_around;
  bool push_down = false;
  uint32_t copy_range = 0;
  uint32_t watchdog = 2000;
  uint32_t drain_time = 1000;
};

Result<RunOptions> finish_options(const RunFlags& flags, bool copy_range_given) {
  RunOptions options = flags.options;
  const auto queues = parse_queue_range(flags.queue_balance);
  if (!queues) return std::unexpected(queues.error());
  std::tie(options.first_queue, options.last_queue) = *queues;
  auto cpus = usable_cpus();
  if (!cpus) return std::unexpected(cpus.error());
  if (!flags.cpus.empty()) cpus = parse_cpu_list(flags.cpus, *cpus);
  if (!cpus) return std::unexpected(cpus.error());
  options.cpus = std::move(*cpus);
  if (flags.fail_open || flags.fail_closed) options.fail_open = flags.fail_open;
  options.gso = !flags.no_gso;
  options.conntrack = !flags.no_conntrack;
  options.self_test = !flags.no_self_test;
  options.sandbox = !flags.no_sandbox;
  options.on_crash = flags.on_crash == "drop" ? Verdict::kDrop : Verdict::kAccept;
  options.on_stop = flags.on_stop == "drain"  ? RunOptions::OnStop::kDrain
                    : flags.on_stop == "keep" ? RunOptions::OnStop::kKeep
                                              : RunOptions::OnStop::kAuto;
  options.watchdog = std::chrono::milliseconds(flags.watchdog);
  options.drain_time = std::chrono::milliseconds(flags.drain_time);
  if (!flags.steer.empty()) {
    options.steer = RunOptions::Steer{
        .tool = flags.steer == "nft" ? SteeringTool::kNft : SteeringTool::kIptables,
        .wish = {.hook = std::nullopt, .around = flags.steer_around, .push_down = {}}};
    if (!flags.steer_hook.empty()) {
      const Word* hook = find_word(WordGroup::kHook, flags.steer_hook);
      options.steer->wish.hook = Hook{static_cast<uint8_t>(hook->number)};
    }
    if (flags.push_down)
      options.steer->wish.push_down = rule_writer(options.steer->tool, options.steer->name);
  }
  if (!flags.metrics.empty()) {
    const auto metrics = parse_metrics_address(flags.metrics);
    if (!metrics) return std::unexpected(metrics.error());
    options.metrics = *metrics;
  }
  if (copy_range_given) options.copy_range = flags.copy_range;
  return options;
}

int run(const RunFlags& flags, bool copy_range_given) {
  set_up_log();
  auto options = finish_options(flags, copy_range_given);
  if (!options) return report(options.error());
  auto supervisor = Supervisor::create(std::move(*options));
  if (!supervisor) return report(supervisor.error());
  return (*supervisor)->run();
}

void add_steering_flags(CLI::App* command, RunFlags* flags) {
  auto* steer =
      command
          ->add_option("--steer", flags->steer,
                       "Enter the firewall's rules once the queues are read, change them with a "
                       "reload, take them away before the end (fettle steer)")
          ->option_text("nft|iptables")
          ->check(CLI::IsMember({"nft", "iptables"}));
  command
      ->add_option("--steer-hook", flags->steer_hook,
                   "With --steer: where rules are met that name no hook (default: by their steps)")
      ->option_text("HOOK")
      ->check(CLI::IsMember({"prerouting", "input", "forward", "output", "postrouting"}))
      ->needs(steer);
  command
      ->add_option("--steer-around", flags->steer_around,
                   "With --steer: as fettle steer's --around")
      ->option_text("DEVICE")
      ->needs(steer);
  command
      ->add_flag("--push-down", flags->push_down,
                 "With --steer: have the firewall itself do what it can do exactly; those rules "
                 "cost no queue")
      ->option_text(" ")
      ->needs(steer)
      ->excludes(command->get_option("--shadow"));  // the firewall's own edits would take place
}

void add_sandbox_flags(CLI::App* command, RunFlags* flags) {
  auto* user =
      command
          ->add_option("--user", flags->options.user,
                       "The workers' user (default: fettle where there is one, else nobody)")
          ->option_text("NAME");
  command
      ->add_flag("--no-sandbox", flags->no_sandbox,
                 "Workers keep all privileges; for debugging only")
      ->option_text(" ")
      ->excludes(user);
}

void add_flags(CLI::App* command, RunFlags* flags, CLI::Option** copy_range) {
  command->add_option("--rules", flags->options.rules, "The rule file (TOML)")
      ->option_text("FILE (required)")
      ->required();
  command
      ->add_option("--queue-balance", flags->queue_balance,
                   "Queues, as iptables' NFQUEUE has them: A:B, or one, A; a worker each")
      ->option_text("A:B (required)")
      ->required();
  command
      ->add_option("--cpus", flags->cpus,
                   "CPUs for the workers in turn, like 0,2-3 (default: the machine's)")
      ->option_text("LIST");
  command
      ->add_option("--threads", flags->options.threads,
                   "Threads of each worker, a CPU each, for rules that cost microseconds")
      ->option_text("1-16 (1)")
      ->check(CLI::Range(1u, kMostThreads))
      ->capture_default_str();
  command->add_option("--batch", flags->options.batch, "Packets per recvmmsg and per reply")
      ->option_text("1-256 (16)")
      ->check(CLI::Range(1u, kLargestBatch))
      ->capture_default_str();
  command
      ->add_option("--receive-buffer", flags->options.receive_buffer,
                   "Bytes of each socket's buffer (SO_RCVBUFFORCE); 1500-byte packets take 2304")
      ->option_text("BYTES (64M)")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(size_t{4096}, size_t{1} << 31))
      ->default_str("64M");
  command
      ->add_option("--queue-length", flags->options.queue_length,
                   "Packets that may wait in a queue")
      ->option_text("1-65536 (4096)")
      ->check(CLI::Range(1u, kLongestQueue))
      ->capture_default_str();
  command
      ->add_option("--overload-length", flags->options.overload_length,
                   "Packets that may wait while an overload lasts")
      ->option_text("16-65536 (512)")
      ->check(CLI::Range(16u, kLongestQueue))
      ->capture_default_str();
  command
      ->add_option("--streams", flags->options.streams,
                   "TCP connections of a queue that rules may edit at a time; each takes 183 bytes")
      ->option_text("8-16777216 (65536)")
      ->check(CLI::Range(8u, 1u << 24))
      ->capture_default_str();
  command
      ->add_option("--stream-wait", flags->options.stream_wait,
                   "Milliseconds that the end of a TCP segment waits for the rest of what a rule "
                   "may match")
      ->option_text("0-10000 (40)")
      ->check(CLI::Range(0u, 10000u))
      ->capture_default_str();
  command->add_flag("--busy-poll", flags->options.busy_poll,
                    "Never sleep: a shorter delay, for a whole CPU a worker");
  auto* open =
      command
          ->add_flag(
              "--fail-open", flags->fail_open,
              "Full queue or socket: packets pass unchanged (default, where the rules say nothing)")
          ->option_text(" ");
  auto* closed = command
                     ->add_flag("--fail-closed", flags->fail_closed,
                                "Full queue or socket: packets are dropped")
                     ->option_text(" ")
                     ->excludes(open);
  command
      ->add_flag("--shadow", flags->options.shadow,
                 "Change nothing: packets pass as they came, and what rules would do is counted "
                 "and logged")
      ->option_text(" ")
      ->excludes(closed);
  auto* gso = command->add_flag("--gso", flags->gso, "Take super-packets whole (default)")
                  ->option_text(" ");
  command
      ->add_flag("--no-gso", flags->no_gso, "Have the kernel cut super-packets into segments first")
      ->option_text(" ")
      ->excludes(gso);
  command
      ->add_flag("--no-conntrack", flags->no_conntrack,
                 "Do not ask how the kernel's NAT helpers and SYNPROXY shift TCP streams")
      ->option_text(" ");
  command
      ->add_flag("--no-self-test", flags->no_self_test,
                 "Start without sending a packet through each queue in a namespace of its own")
      ->option_text(" ");
  *copy_range =
      command
          ->add_option(
              "--copy-range", flags->copy_range,
              "Bytes of each packet to copy (default: what rules need); a cut one stays as it is")
          ->option_text("0-65531")
          ->check(CLI::Range(0u, static_cast<uint32_t>(kMaxReturnedPayload)));
  command
      ->add_option("--on-crash", flags->on_crash,
                   "The packet that a worker had in hand when it died: accept or drop")
      ->option_text("accept|drop (accept)")
      ->check(CLI::IsMember({"accept", "drop"}))
      ->capture_default_str();
  command
      ->add_option("--on-stop", flags->on_stop,
                   "Under systemd: drain the queues, or keep them in its store; auto: keep them "
                   "for a restart")
      ->option_text("auto|drain|keep (auto)")
      ->check(CLI::IsMember({"auto", "drain", "keep"}))
      ->capture_default_str();
  command
      ->add_flag("--takeover", flags->options.takeover,
                 "Take the queues over from the fettle that runs, and go on where it is")
      ->option_text(" ");
  command
      ->add_option("--quarantine", flags->options.quarantine,
                   "Folder for the packets that workers died of, each as a capture")
      ->option_text("DIR (/var/lib/fettle/quarantine)");
  command
      ->add_option("--watchdog", flags->watchdog,
                   "Milliseconds without a sign of life after which a worker is killed; 0: never")
      ->option_text("0-60000 (2000)")
      ->check(CLI::Range(0u, 60'000u))
      ->capture_default_str();
  command
      ->add_option("--drain-time", flags->drain_time,
                   "Milliseconds that emptying the queues may take at the end")
      ->option_text("0-60000 (1000)")
      ->check(CLI::Range(0u, 60'000u))
      ->capture_default_str();
  command
      ->add_option("--control", flags->options.control,
                   "Socket for fettle status, reload and drain; group \"fettle\" may use it, too")
      ->option_text(fmt::format("PATH ({})", kControlPath));
  command
      ->add_option("--metrics", flags->metrics,
                   "Where Prometheus finds what fettle status shows: http://ADDR:PORT/metrics")
      ->option_text("ADDR:PORT");
}

}  // namespace

void add_run_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = app.add_subcommand("run", "Mend packets on live queues");
  CLI::Option* copy_range = nullptr;
  add_flags(command, flags.get(), &copy_range);
  add_sandbox_flags(command, flags.get());
  add_steering_flags(command, flags.get());
  command->footer(
      "SIGHUP reads the rules again; a file that is refused changes nothing. SIGTERM and SIGINT "
      "empty the\n"
      "queues and end. 'fettle reload' and 'fettle drain' do the same and say what came of it; "
      "'fettle status'\n"
      "shows what runs.\n\n"
      "Example:\n"
      "  fettle run --rules print-servers.toml --queue-balance 0:1\n"
      "  iptables -t mangle -A FORWARD -p udp --dport 1331 -j NFQUEUE --queue-balance 0:1 "
      "--queue-bypass\n");
  command->callback(
      [flags, copy_range, exit_code] { *exit_code = run(*flags, copy_range->count() > 0); });
}

}  // namespace fettle
