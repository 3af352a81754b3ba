// One status, in all its forms: as JSON and back, as the table and as the summary.
#include "workers/run_status.h"

#include <cstdlib>
#include <ctime>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "workers/control_answer.h"

namespace fettle {
namespace {

RunStatus example() {
  RunStatus out;
  out.version = "0.1.0";
  out.pid = 4242;
  out.phase = "running";
  out.up_ms = 7'980'000;
  out.rule_file = "print-servers.toml";
  out.loaded_at = 1'700'000'000;
  out.control = {
      .path = "/run/fettle/control", .requests = 3, .malformed = 0, .refused = 0, .cut_off = 0};
  QueueReport queue;
  queue.cpus = "0";
  queue.settings = {.length = 4096,
                    .copy_range = 65531,
                    .fail_open = true,
                    .gso = true,
                    .conntrack = false,
                    .receive_buffer = 134217728};
  queue.worker = {.pid = 4243,
                  .state = "running",
                  .for_ms = 7'980'000,
                  .restart_in_ms = 0,
                  .restarts = 0,
                  .last_end = "",
                  .last_end_at = 0};
  queue.counters.packets = 81'234'567;
  queue.counters.bytes = 9'876'543'210;
  queue.counters.changed = 81'234'000;
  queue.counters.accepted = 81'234'567;
  queue.counters.batches = 5'000'000;
  out.queues.push_back(queue);
  queue.queue = 1;
  queue.counters.packets = 12;
  queue.counters.dropped = 2;
  queue.counters.waiting = 7;
  out.queues.push_back(queue);
  out.rules = {{.name = "keep-alive to the central system", .hits = 81'234'000, .misses = 0},
               {.name = "answer", .hits = 12, .misses = 3}};
  return out;
}

std::string answer_of(const RunStatus& status) {
  return fmt::format("{{\"exit\":0,\"status\":{}}}", status_json(status));
}

class RunStatusTest : public ::testing::Test {
 protected:
  RunStatusTest() {
    setenv("TZ", "UTC", 1);
    tzset();
  }
};

TEST_F(RunStatusTest, Table) {
  EXPECT_EQ(status_table(example()),
            R"(fettle 0.1.0, process 4242: running for 2 h 13 min
rules    print-servers.toml: 2 rules, loaded 2023-11-14 22:13:20

queue  worker  CPUs  state           for  restarts
    0    4243  0     running  2 h 13 min         0
    1    4243  0     running  2 h 13 min         0

queue  length  copied bytes  when full  GSO  conntrack  receive buffer
  0:1    4096         65531  pass       yes  no              134217728

queue   packets        bytes    changed   accepted  dropped  waiting
    0  81234567   9876543210   81234000   81234567        0        0
    1        12   9876543210   81234000   81234567        2        7
  all  81234579  19753086420  162468000  162469134        2        7

nothing lost

    hits  misses  rule
81234000       0  keep-alive to the central system
      12       3  answer
)");
}

TEST_F(RunStatusTest, TableOfTrouble) {
  RunStatus status = example();
  status.queues.resize(1);
  status.rules.clear();
  status.phase = "reloading";
  status.up_ms = 61'500;
  status.last_reload = {
      .at = 1'700'000'060, .exit = 65, .message = "a.toml:1:2: error: found \x1b[2J\n    1 | x"};
  status.control.malformed = 4;
  status.feed = FeedReport{.rules = 1,
                           .uncounted = 2,
                           .beyond = 1,
                           .bypass = true,
                           .sent = 700,
                           .unqueued = 30,
                           .bypassed = 4,
                           .age_ms = 5,
                           .error = ""};
  QueueReport& queue = status.queues[0];
  queue.worker = {.pid = 0,
                  .state = "backing off",
                  .for_ms = 300,
                  .restart_in_ms = 1200,
                  .restarts = 3,
                  .last_end = "killed by signal 11 (Segmentation fault)",
                  .last_end_at = 1'700'000'061};
  queue.settings.fail_open = false;
  queue.settings.copy_range = 0;
  queue.counters = {};
  queue.counters.queue_full = 12;
  queue.counters.socket_full = 3;
  queue.counters.stream_edited = 5;
  queue.counters.overloads = 1;
  EXPECT_EQ(status_table(status),
            R"(fettle 0.1.0, process 4242: reloading for 1 min 01 s
rules    print-servers.toml: 0 rules, loaded 2023-11-14 22:13:20
reload   refused 2023-11-14 22:14:20
  a.toml:1:2: error: found \x1b[2J
      1 | x
firewall 1 rule sent 700 packets here
firewall 2 rules have no counters: what passes a full queue cannot be told (fettle doctor)
firewall 1 rule feeds other queues, too: what passes a full queue cannot be told (fettle doctor)
control  /run/fettle/control: 3 requests answered, 4 malformed, 0 not permitted, 0 cut off

queue  worker  CPUs  state                       for  restarts
    0       -  0     backing off, 1.2 s to go  0.3 s         3
queue 0, the worker before: killed by signal 11 (Segmentation fault), 2023-11-14 22:14:21

queue  length  copied bytes  when full  GSO  conntrack  receive buffer
    0    4096          none  drop       yes  no              134217728

queue  packets  bytes  changed  accepted  dropped  waiting
    0        0      0        0         0        0        0

queue  count  lost, or passed unchanged: where and why
    0     12  kernel: the queue was full, dropped
    0      3  kernel: the socket's buffer was full, dropped
    0     30  kernel: came to no queue, uncounted; at least so many
    0      4  kernel: fettle did not run, passed unchanged; at least so many

queue  segments  TCP streams that rules edit
    0         5  segments that left as others

queue  count  what else
    0      1  times that the queue was made shorter
)");
}

TEST_F(RunStatusTest, Summary) {
  RunStatus status = example();
  status.queues.resize(1);
  status.queues[0].counters.late_verdicts = 2;
  EXPECT_EQ(summary_table(status),
            R"(
queue      packets      changed     accepted      dropped  malformed  queue-full  socket-full restarts
    0     81234567     81234000     81234567            0          0           0            0        0
      verdicts too late 2, refused 0, unreadable messages 0

        hits       misses  rule (since it was loaded)
    81234000            0  keep-alive to the central system
          12            3  answer
)");
}

TEST_F(RunStatusTest, AShadowIsSaidWhereCountsAreShown) {
  RunStatus status = example();
  EXPECT_NE(status_json(status).find("\"shadow\":false"), std::string::npos);
  const std::string table = status_table(status), summary = summary_table(status);
  status.shadow = true;
  EXPECT_NE(status_json(status).find("\"shadow\":true"), std::string::npos);
  std::string shadow = status_table(status);
  constexpr std::string_view kLine =
      "\nSHADOW   every packet passes as it came; counts are of what the rules would do";
  ASSERT_NE(shadow.find(kLine), std::string::npos) << shadow;
  EXPECT_EQ(shadow.erase(shadow.find(kLine), kLine.size()), table) << "that line alone";
  shadow = summary_table(status);
  EXPECT_TRUE(shadow.starts_with("\nSHADOW: every packet passed as it came; ")) << shadow;
  EXPECT_EQ(shadow.substr(shadow.find('\n', 1)), summary);
}

// Each counter has a number of its own, so that no two can be taken for each other.
TEST_F(RunStatusTest, JsonAndBack) {
  RunStatus status = example();
  status.shadow = true;
  uint64_t number = 1'000'000'007;
  for (QueueReport& queue : status.queues) {
    for (const QueueCounter& counter : queue_counters()) queue.counters.*counter.value = ++number;
    queue.worker.last_end = "exited with status 74";
    queue.worker.last_end_at = 5;
    queue.worker.restart_in_ms = 6;
  }
  status.last_reload = {.at = 7, .exit = 65, .message = "\"quoted\"\n"};
  status.feed = FeedReport{.rules = 1,
                           .uncounted = 2,
                           .beyond = 3,
                           .bypass = false,
                           .sent = 4,
                           .unqueued = 5,
                           .bypassed = 6,
                           .age_ms = 7,
                           .error = "iptables-save: no"};
  status.control = {.path = "/x", .requests = 1, .malformed = 2, .refused = 3, .cut_off = 4};
  const auto answer = parse_control_answer(answer_of(status));
  ASSERT_TRUE(answer) << answer.error().message;
  ASSERT_TRUE(answer->status);
  EXPECT_EQ(answer->exit, 0);
  EXPECT_EQ(status_json(*answer->status), status_json(status));
  EXPECT_EQ(status_table(*answer->status), status_table(status));
}

TEST_F(RunStatusTest, BytesThatAreNoUtf8AreNoHindrance) {
  RunStatus status = example();
  status.rule_file = "/etc/\xff.toml";
  const auto answer = parse_control_answer(answer_of(status));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status->rule_file, "/etc/\ufffd.toml");
}

}  // namespace
}  // namespace fettle
