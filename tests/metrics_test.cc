// Metrics, from a status to the text that Prometheus reads.
#include "workers/metrics.h"

#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace fettle {
namespace {

RunStatus example() {
  RunStatus out;
  out.version = "0.1.0";
  out.phase = "running";
  out.started_at = 1'700'000'000;
  out.loaded_at = 1'700'000'001;
  for (const uint16_t number : {uint16_t{0}, uint16_t{3}}) {
    QueueReport queue;
    queue.queue = number;
    queue.settings.length = 4096;
    queue.worker.state = "running";
    queue.worker.restarts = 2;
    uint64_t value = 1000 * (number + 1u);
    for (const QueueCounter& counter : queue_counters()) queue.counters.*counter.value = ++value;
    out.queues.push_back(queue);
  }
  out.rules.resize(2);
  return out;
}

std::string text_of(const RunStatus& status, std::vector<RuleReport> rules = {}) {
  const auto text = metrics_text(status, rules);
  EXPECT_TRUE(text) << text.error().message;
  return text.value_or("");
}

// Series by name and labels; families by name: type and help.
struct Page {
  std::map<std::string, std::string> series, types, helps;
};
Page page_of(const std::string& text) {
  Page out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, what, name;
    if (line.starts_with("# ")) {
      words >> hash >> what >> name;
      auto& into = what == "TYPE" ? out.types : out.helps;
      EXPECT_TRUE(into.emplace(name, line.substr(line.find(name) + name.size() + 1)).second)
          << line;
      continue;
    }
    const size_t space = line.rfind(' ');
    EXPECT_TRUE(out.series.emplace(line.substr(0, space), line.substr(space + 1)).second)
        << "twice: " << line;
  }
  return out;
}

TEST(Metrics, EachCounterHasItsOwnSeries) {
  const RunStatus status = example();
  const Page page = page_of(text_of(status));
  for (const QueueReport& queue : status.queues) {
    for (const QueueCounter& counter : queue_counters()) {
      const std::string begin = fmt::format("fettle_{}{{queue=\"{}\"", counter.metric, queue.queue);
      const std::string value = std::to_string(queue.counters.*counter.value);
      size_t found = 0;
      for (const auto& [series, number] : page.series) {
        found += series.starts_with(begin) && number == value ? 1 : 0;
      }
      EXPECT_EQ(found, 1u) << counter.name;
    }
  }
}

TEST(Metrics, NamesAndLabels) {
  const Page page = page_of(text_of(example(), {{.name = "answer", .hits = 12, .misses = 3}}));
  const auto value = [&page](const std::string& series) {
    const auto found = page.series.find(series);
    return found == page.series.end() ? "none" : found->second;
  };
  EXPECT_EQ(value(R"(fettle_packets_total{queue="0"})"), "1001");
  EXPECT_EQ(value(R"(fettle_verdicts_total{queue="3",verdict="drop"})"), "4005");
  EXPECT_EQ(value(R"(fettle_lost_packets_total{queue="0",place="kernel",reason="queue_full"})"),
            "1010");
  EXPECT_EQ(value(R"(fettle_lost_packets_total{queue="0",place="reply",reason="late_verdict"})"),
            "1019");
  EXPECT_EQ(value(R"(fettle_worker_restarts_total{queue="3"})"), "2");
  EXPECT_EQ(value(R"(fettle_worker_state{queue="3",state="running"})"), "1");
  EXPECT_EQ(value(R"(fettle_worker_state{queue="3",state="backing off"})"), "0");
  EXPECT_EQ(value(R"(fettle_rule_hits_total{rule="answer"})"), "12");
  EXPECT_EQ(value(R"(fettle_rule_misses_total{rule="answer"})"), "3");
  EXPECT_EQ(value("fettle_rules"), "2");
  EXPECT_EQ(value(R"(fettle_build_info{version="0.1.0"})"), "1");
  EXPECT_EQ(value("fettle_start_time_seconds"), "1700000000");
  EXPECT_EQ(value("fettle_last_reload_successful"), "1");
}

// As https://prometheus.io/docs/practices/naming has it.
TEST(Metrics, AShadowHasAGauge) {
  RunStatus status = example();
  EXPECT_EQ(page_of(text_of(status)).series.at("fettle_shadow"), "0");
  status.shadow = true;
  const Page page = page_of(text_of(status));
  EXPECT_EQ(page.series.at("fettle_shadow"), "1");
  EXPECT_EQ(page.types.at("fettle_shadow"), "gauge");
}

TEST(Metrics, Conventions) {
  RunStatus status = example();
  status.feed = FeedReport{};
  status.queues[0].worker.last_end_at = 5;
  const Page page = page_of(text_of(status, {{.name = "a", .hits = 0, .misses = 0}}));
  EXPECT_EQ(page.types.size(), page.helps.size());
  for (const auto& [name, type] : page.types) {
    EXPECT_TRUE(name.starts_with("fettle_")) << name;
    EXPECT_EQ(type, name.ends_with("_total") ? "counter" : "gauge") << name;
    EXPECT_FALSE(page.helps.at(name).empty()) << name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), name.npos) << name;
  }
}

// A reader that adds up a metric adds up one thing: those that share one have labels of their own.
TEST(Metrics, SharedMetricsHaveLabelsThatDiffer) {
  std::map<std::string_view, std::set<std::string_view>> labels;
  std::map<std::string_view, size_t> members;
  for (const QueueCounter& counter : queue_counters()) {
    labels[counter.metric].insert(counter.label);
    ++members[counter.metric];
  }
  for (const auto& [metric, values] : labels) {
    EXPECT_EQ(values.size(), members[metric]) << metric;
    EXPECT_EQ(values.contains(""), members[metric] == 1) << metric;
  }
}

TEST(Metrics, RuleNamesAreEscaped) {
  const std::string text =
      text_of(example(), {{.name = "a \"b\" \\ \n # {}= \u00fc", .hits = 7, .misses = 0}});
  EXPECT_NE(text.find("fettle_rule_hits_total{rule=\"a \\\"b\\\" \\\\ \\n # {}= \u00fc\"} 7\n"),
            text.npos)
      << text;
}

TEST(Metrics, LargeCountsAreWholeNumbers) {
  RunStatus status = example();
  status.queues.resize(1);
  status.queues[0].counters.bytes = 9'007'199'254'740'991;  // the last one that a double has
  const Page page = page_of(text_of(status));
  EXPECT_EQ(page.series.at(R"(fettle_packet_bytes_total{queue="0"})"), "9007199254740991");
}

TEST(Metrics, WhatIsNotKnownIsLeftOut) {
  RunStatus status = example();
  const Page before = page_of(text_of(status));
  EXPECT_FALSE(before.types.contains("fettle_firewall_sent_packets_total"));
  EXPECT_FALSE(before.types.contains("fettle_worker_last_end_timestamp_seconds"));
  status.feed = FeedReport{.rules = 2, .sent = 700, .unqueued = 30, .age_ms = 1500, .error = "no"};
  status.last_reload = ReloadReport{.at = 1'700'000'060, .exit = 65, .message = "a.toml:1"};
  const Page after = page_of(text_of(status));
  EXPECT_EQ(after.series.at("fettle_firewall_sent_packets_total"), "700");
  EXPECT_EQ(after.series.at("fettle_unqueued_packets_total"), "30");
  EXPECT_EQ(after.series.at("fettle_firewall_age_seconds"), "1.5");
  EXPECT_EQ(after.series.at("fettle_firewall_readable"), "0");
  EXPECT_EQ(after.series.at("fettle_last_reload_successful"), "0");
  EXPECT_EQ(after.series.at("fettle_last_reload_exit_status"), "65");
}

}  // namespace
}  // namespace fettle
