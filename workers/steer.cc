// fettle steer: the firewall's rules that queue only what the rules can matter to.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "rules/compile.h"
#include "rules/vocabulary.h"
#include "workers/commands.h"
#include "workers/push_down.h"
#include "workers/queue_range.h"
#include "workers/steering_apply.h"
#include "workers/version.h"

namespace fettle {
namespace {

struct Flags {
  std::string rules, queues = "0", tool = "nft", hook, around, spread, name = "fettle";
  uint32_t mark_mask = ~0u;
  bool fail_closed = false, push_down = false, apply = false, remove = false;
};

constexpr std::pair<std::string_view, SteeringSpread> kSpreads[] = {
    {"cpu", SteeringSpread::kCpu},
    {"address", SteeringSpread::kAddress},
    {"flow", SteeringSpread::kFlow}};

// Chains' names are this and a hook's; iptables takes 28 characters.
Result<void> check_name(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (!name.empty() && name.size() <= 12 && std::ranges::all_of(name, fits)) return {};
  return fail(ErrorCode::kUsage,
              fmt::format("--name: found \"{}\", expected 1 to 12 of a-z, 0-9 and _", name));
}

SteeringTool tool_of(const Flags& flags) {
  return flags.tool == "nft" ? SteeringTool::kNft : SteeringTool::kIptables;
}

Result<SteeringWish> wish_of(const Flags& flags) {
  SteeringWish wish{.hook = std::nullopt, .around = flags.around, .push_down = {}};
  if (flags.push_down) wish.push_down = rule_writer(tool_of(flags), flags.name);
  if (flags.around.size() > 15 || flags.around.find_first_of("\" \t\n/") != std::string::npos) {
    return fail(
        ErrorCode::kUsage,
        fmt::format("--around: found \"{}\", expected a network device's name", flags.around));
  }
  if (!flags.hook.empty())
    wish.hook = Hook{static_cast<uint8_t>(find_word(WordGroup::kHook, flags.hook)->number)};
  return wish;
}

// By the CPU where nothing has to stay together: what is read on the CPU that received it costs
// least.
SteeringSpread spread_of(const Flags& flags, const SteeringPlan& plan) {
  if (flags.spread.empty())
    return plan.streams || plan.keeps_flow ? SteeringSpread::kAddress : SteeringSpread::kCpu;
  return std::ranges::find(kSpreads, flags.spread,
                           &std::pair<std::string_view, SteeringSpread>::first)
      ->second;
}

Result<SteeringTarget> target_of(const Flags& flags, const SteeringPlan& plan) {
  const auto range = parse_queue_range(flags.queues);
  if (!range) return std::unexpected(range.error());
  SteeringTarget out{range->first, range->second, spread_of(flags, plan), !flags.fail_closed,
                     flags.name};
  if (plan.streams && out.spread == SteeringSpread::kCpu && out.last > out.first) {
    return fail(ErrorCode::kUsage,
                "--spread: found cpu, expected address or flow: the rules edit TCP streams, both "
                "directions of which "
                "have to come to one queue");
  }
  return out;
}

// Bits of marks that are not fettle's are somebody else's.
Result<void> check_marks(const Flags& flags, const SteeringPlan& plan,
                         const SteeringTarget& target) {
  if (plan.bypass_mark && (plan.bypass_mark->mask & ~flags.mark_mask) != 0) {
    return fail(ErrorCode::kUsage,
                fmt::format("--mark-mask: found {:#x}, expected the bits of bypass-mark in {}, "
                            "{:#x}, among them",
                            flags.mark_mask, flags.rules, plan.bypass_mark->mask));
  }
  const bool hashes = tool_of(flags) == SteeringTool::kIptables &&
                      target.spread == SteeringSpread::kFlow && target.last > target.first;
  if (hashes && flags.mark_mask != ~0u) {
    return fail(ErrorCode::kUsage,
                fmt::format("--spread flow: found --mark-mask {:#x}, expected none: iptables "
                            "leaves a flow's hash in the whole mark of its packets (HMARK)",
                            flags.mark_mask));
  }
  return {};
}

void print_text(const SteeringPlan& plan, const SteeringTarget& target, SteeringTool tool,
                const Flags& flags) {
  fmt::print("# fettle {}: steer --rules {} --queue-balance {}\n", version(), flags.rules,
             flags.queues);
  if (tool == SteeringTool::kNft) {
    fmt::print("{}", nft_text(plan, target));
    return;
  }
  const std::string four = iptables_text(plan, target, Family::kIpv4),
                    six = iptables_text(plan, target, Family::kIpv6);
  fmt::print(
      "# iptables-restore --noflush; jumps are entered anew each time: --apply looks whether they "
      "are there\n{}"
      "# ip6tables-restore --noflush\n{}",
      four, six);
}

// A fettle that knows nothing of it would carry the rules out once more.
Result<void> check_push_down(const Flags& flags, const RuleSet& set, const SteeringPlan& plan) {
  size_t left = 0;
  for (size_t i = 0; i < plan.hindrances.size(); ++i) {
    if (plan.hindrances[i].empty()) continue;
    ++left;
    fmt::print(stderr, "fettle: note: \"{}\" is left to the queue: {}\n", set.rules[i].name,
               plan.hindrances[i]);
  }
  if (left == 0) return {};
  const std::string both = fmt::format("fettle run --steer {} --push-down", flags.tool);
  if (flags.apply) {
    return fail(ErrorCode::kUsage,
                fmt::format("--push-down: found {} of {} rules that need the queue, expected none "
                            "beside --apply: {} enters the rules and leaves out of its own what "
                            "the firewall does",
                            left, plan.hindrances.size(), both));
  }
  fmt::print(stderr, "fettle: note: for use with {} alone\n", both);
  return {};
}

Result<void> steer(const Flags& flags) {
  const SteeringTool tool = tool_of(flags);
  if (const auto named = check_name(flags.name); !named) return named;
  if (flags.remove) return remove_steering(flags.name, tool);
  if (flags.rules.empty()) {
    return fail(ErrorCode::kUsage,
                "found no --rules, expected a rule file (only --remove needs none)");
  }
  const auto wish = wish_of(flags);
  if (!wish) return std::unexpected(wish.error());
  std::string warnings;
  const auto rules = load_rules(flags.rules, &warnings);
  if (!rules) return std::unexpected(rules.error());
  const auto plan = plan_steering(rules->parsed.set, *wish);
  if (!plan) return std::unexpected(plan.error());
  const auto target = target_of(flags, *plan);
  if (!target) return std::unexpected(target.error());
  if (const auto marks = check_marks(flags, *plan, *target); !marks) return marks;
  for (const std::string& note : plan->notes) fmt::print(stderr, "fettle: note: {}\n", note);
  if (const auto alone = check_push_down(flags, rules->parsed.set, *plan); !alone) return alone;
  if (flags.apply) return apply_steering(*plan, *target, tool);
  print_text(*plan, *target, tool, flags);
  std::fflush(stdout);
  return {};
}

}  // namespace

void add_steer_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand(
      "steer", "Print, apply or remove the firewall rules that queue what the rules can change");
  command->add_option("--rules", flags->rules, "Rule file; - is standard input")
      ->option_text("FILE");
  command->add_option("--queue-balance", flags->queues, "Queues, as fettle run has them")
      ->option_text("A:B (0)");
  command->add_option("--tool", flags->tool, "Whose rules")
      ->option_text("nft|iptables (nft)")
      ->check(CLI::IsMember({"nft", "iptables"}));
  command->add_option("--hook", flags->hook, "Where rules are met that name no hook")
      ->option_text("HOOK (by their steps)")
      ->check(CLI::IsMember({"prerouting", "input", "forward", "output", "postrouting"}));
  command
      ->add_option(
          "--around", flags->around,
          "Queue what comes from this device before connection tracking and NAT, what goes "
          "to it behind routing")
      ->option_text("DEVICE");
  command
      ->add_option("--spread", flags->spread,
                   "Over the queues: by CPU, by both addresses, or by addresses and ports")
      ->option_text("cpu|address|flow (by the rules)")
      ->check(CLI::IsMember({"cpu", "address", "flow"}));
  command
      ->add_option("--mark-mask", flags->mark_mask,
                   "Bits of packets' and connections' marks that the rules may write")
      ->option_text("MASK (0xffffffff)");
  command->add_flag("--push-down", flags->push_down,
                    "Have the firewall itself do what it can do exactly");
  command->add_option("--name", flags->name, "Of nft's table, and what iptables' chains begin with")
      ->option_text("NAME (fettle)");
  command->add_flag("--fail-closed", flags->fail_closed,
                    "Packets wait for fettle, or are dropped, while it does not run");
  auto* apply = command->add_flag("--apply", flags->apply,
                                  "Enter the rules, in place of those of the same name");
  command->add_flag("--remove", flags->remove, "Take them away")->excludes(apply);
  command->footer(
      "Start fettle first, then steer; remove before it is drained. Nothing but what bears the "
      "name is\n"
      "touched, and no packet that waits in a queue is dropped: nft's base chains stay when their "
      "rules go.\n\n"
      "Example:\n"
      "  fettle steer --rules rules.toml --queue-balance 0:3 --apply\n"
      "  fettle steer --remove\n");
  command->callback([flags, exit_code] {
    if (const auto done = steer(*flags); !done) *exit_code = report(done.error());
  });
}

}  // namespace fettle
