// fettle doctor: what on this machine stands in the way.
#include <unistd.h>

#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "workers/commands.h"
#include "workers/doctor_facts.h"
#include "workers/doctor_firewall.h"
#include "workers/doctor_kernel.h"
#include "workers/doctor_network.h"
#include "workers/doctor_report.h"
#include "workers/doctor_tune.h"
#include "workers/queue_range.h"
#include "workers/self_test.h"
#include "workers/standard_streams.h"
#include "workers/topology.h"

namespace fettle {
namespace {

struct DoctorFlags {
  std::string rules;
  std::string queue_balance;
  std::string cpus;
  bool fail_closed = false;
  bool no_gso = false;
  bool no_self_test = false;
  bool json = false;
  bool tune = false;
};

Result<DoctorPlan> make_plan(const DoctorFlags& flags) {
  DoctorPlan plan;
  plan.fail_closed = flags.fail_closed;
  plan.no_gso = flags.no_gso;
  if (!flags.queue_balance.empty()) {
    const auto range = parse_queue_range(flags.queue_balance);
    if (!range) return std::unexpected(range.error());
    plan.has_queues = true;
    plan.first_queue = range->first;
    plan.last_queue = range->second;
  }
  auto usable = usable_cpus();
  if (!usable) return std::unexpected(usable.error());
  auto chosen = flags.cpus.empty() ? usable : parse_cpu_list(flags.cpus, *usable);
  if (!chosen) return std::unexpected(chosen.error());
  plan.usable_cpus = std::move(*usable);
  plan.cpus = std::move(*chosen);
  if (!flags.rules.empty()) {
    const auto rules = load_rules(flags.rules);
    if (!rules) return std::unexpected(rules.error());
    read_needs(*rules, flags.rules, &plan);
  }
  return plan;
}

// Without --queue-balance one queue stands for all.
Finding judge_self_test(const DoctorPlan& plan) {
  std::vector<QueueSettings> queues;
  const uint32_t last = plan.has_queues ? plan.last_queue : plan.first_queue;
  for (uint32_t queue = plan.first_queue; queue <= last; ++queue) {
    queues.push_back({.queue = static_cast<uint16_t>(queue),
                      .fail_open = !plan.fail_closed,
                      .gso = !plan.no_gso,
                      .conntrack = plan.needs.streams});
  }
  const SelfTest test = run_self_test(queues, kWantedBuffer);
  if (test.outcome == SelfTest::Outcome::kPassed) return {Grade::kOk, "self-test", test.text};
  if (test.outcome == SelfTest::Outcome::kImpossible) {
    return {Grade::kSkip, "self-test", fmt::format("cannot be done here: {}", test.text)};
  }
  return {Grade::kBad, "self-test", test.text,
          "This kernel would not mend packets, whatever the rules say."};
}

void append(Findings* out, Findings more) {
  for (Finding& finding : more) out->push_back(std::move(finding));
}

Findings judge(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out = judge_kernel(facts, plan);
  append(&out, judge_bugs(facts, plan));
  append(&out, judge_queues(facts, plan));
  append(&out, judge_queue_rules(facts, plan));
  append(&out, judge_offload(facts, plan));
  append(&out, judge_streams(facts, plan));
  append(&out, judge_marks(facts, plan));
  append(&out, judge_network(facts, plan));
  append(&out, judge_cpus(facts, plan));
  return out;
}

int print(const std::string& text, int status) {
  auto printed = print_out(text);
  if (printed) printed = flush_out();
  return printed ? status : report(printed.error());
}

int examine(const DoctorFlags& flags) {
  const auto plan = make_plan(flags);
  if (!plan) return report(plan.error());
  const HostFacts facts = gather_facts(plan->first_queue, plan->last_queue);
  if (flags.tune) return print(tuning_script(find_tunings(facts, *plan), facts, *plan), EX_OK);
  Findings findings = judge(facts, *plan);
  if (!flags.no_self_test) findings.push_back(judge_self_test(*plan));
  const std::string text =
      flags.json ? report_json(findings) : report_text(findings, wants_colour(STDOUT_FILENO));
  return print(text, count(findings, Grade::kBad) > 0 ? EX_CONFIG : EX_OK);
}

}  // namespace

void add_doctor_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App* command = app.add_subcommand(
      "doctor", "Say what on this machine stands in the way, and how to mend it");
  command->add_option("--rules", flags->rules, "The rule file: what it needs is looked for")
      ->option_text("FILE");
  command
      ->add_option("--queue-balance", flags->queue_balance, "Queues, as fettle run is given them")
      ->option_text("A:B");
  command->add_option("--cpus", flags->cpus, "CPUs for the workers, as fettle run is given them")
      ->option_text("LIST");
  command
      ->add_flag("--fail-closed", flags->fail_closed,
                 "Judge by it: no packet is to pass unmended, whatever fails")
      ->option_text(" ");
  command->add_flag("--no-gso", flags->no_gso, "Judge by it: as fettle run has it")
      ->option_text(" ");
  command
      ->add_flag("--no-self-test", flags->no_self_test,
                 "Send no packet through queues in a namespace of their own")
      ->option_text(" ");
  auto* json = command->add_flag("--json", flags->json, "For scripts")->option_text(" ");
  command
      ->add_flag("--tune", flags->tune,
                 "Instead of all that: print what would serve fettle better on this machine, as "
                 "text for a shell")
      ->option_text(" ")
      ->excludes(json);
  command->footer(
      "Changes nothing. Exit status 78 where something is bad; warnings are none.\n\n"
      "Example:\n"
      "  fettle doctor --rules print-servers.toml --queue-balance 0:1\n"
      "  fettle doctor --rules print-servers.toml --queue-balance 0:1 --tune >tune.sh\n");
  command->callback([flags, exit_code] { *exit_code = examine(*flags); });
}

}  // namespace fettle
