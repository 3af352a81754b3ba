#include "workers/feed.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "workers/json.h"
#include "workers/shell_words.h"

namespace fettle {
namespace {

// What stays of a rule when others are put before it.
std::string identity(const FirewallRule& rule) {
  return fmt::format(
      "{} {} {} {} {}", rule.tool, rule.family, rule.table, rule.chain,
      rule.is_nft() ? fmt::format("handle {}", rule.handle) : shell_words(rule.words));
}

struct Sent {
  uint64_t packets = 0;
  bool whole = true;  // no rule went away with what it had counted, or began to count anew
};

Sent sent_between(const Feed& before, const Feed& after) {
  Sent out;
  for (const auto& [name, packets] : after.rules) {
    const auto known = before.rules.find(name);
    const uint64_t had = known == before.rules.end() ? 0 : known->second;
    const bool anew = packets < had;
    out.packets += anew ? packets : packets - had;
    if (anew) out.whole = false;
  }
  for (const auto& [name, packets] : before.rules) {
    if (!after.rules.contains(name)) out.whole = false;
  }
  return out;
}

}  // namespace

Feed feed_of(const Firewall& firewall, uint16_t first_queue, uint16_t last_queue) {
  Feed out;
  for (const FirewallRule& rule : firewall.rules) {
    if (!rule.queue || rule.queue->last < first_queue || rule.queue->first > last_queue) continue;
    out.bypass = out.bypass && rule.queue->bypass;
    if (rule.queue->first < first_queue || rule.queue->last > last_queue) {
      ++out.beyond;
    } else if (!rule.packets) {
      ++out.uncounted;
    } else {
      out.rules[identity(rule)] += *rule.packets;
    }
  }
  return out;
}

uint64_t QueueIntake::look(const QueueStatus& row) {
  const auto dropped = static_cast<uint32_t>(row.queue_dropped);
  const uint64_t came = uint64_t{row.id_sequence - id_} + uint64_t{dropped - dropped_};
  *this = QueueIntake(row.id_sequence, dropped);
  return came;
}

FeedAccount::FeedAccount(std::map<std::string, uint64_t> rules, Figures figures, bool bound)
    : figures_(figures), begun_(true), bound_(bound) {
  last_.rules = std::move(rules);
}

FeedFound FeedAccount::look(Feed feed, uint64_t taken, uint64_t late) {
  const Sent sent = sent_between(last_, feed);
  last_ = std::move(feed);
  const bool first = !std::exchange(begun_, true);
  if (!first) figures_.sent += sent.packets;
  // Where counts were lost, so is the difference until then, and none can be told.
  figures_.balance = first || !sent.whole
                         ? -static_cast<int64_t>(late)
                         : figures_.balance + static_cast<int64_t>(sent.packets - taken);
  const auto missing = static_cast<uint64_t>(std::max<int64_t>(figures_.balance, 0));
  figures_.balance -= static_cast<int64_t>(missing);
  FeedFound found;
  (std::exchange(bound_, true) ? found.unqueued : found.bypassed) = missing;
  figures_.unqueued += found.unqueued;
  figures_.bypassed += found.bypassed;
  return found;
}

std::string to_json(const FeedRecord& record) {
  JsonObject rules, intake;
  for (const auto& [name, packets] : record.rules) rules.add(name, packets);
  for (const auto& [queue, stood] : record.intake) {
    intake.add_json(std::to_string(queue), fmt::format("[{},{}]", stood.id(), stood.dropped()));
  }
  return JsonObject()
      .add("queues", record.queues)
      .add("ended", record.ended)
      .add("sent", record.figures.sent)
      .add("unqueued", record.figures.unqueued)
      .add("bypassed", record.figures.bypassed)
      .add("balance", record.figures.balance)
      .add_json("rules", rules.text())
      .add_json("intake", intake.text())
      .text();
}

std::optional<FeedRecord> parse_feed_record(std::string_view json) try {
  const auto parsed = nlohmann::json::parse(json);
  FeedRecord out{.queues = parsed.at("queues").get<std::string>(),
                 .ended = parsed.at("ended").get<bool>(),
                 .figures = {.sent = parsed.at("sent").get<uint64_t>(),
                             .unqueued = parsed.at("unqueued").get<uint64_t>(),
                             .bypassed = parsed.at("bypassed").get<uint64_t>(),
                             .balance = parsed.at("balance").get<int64_t>()},
                 .rules = parsed.at("rules").get<std::map<std::string, uint64_t>>(),
                 .intake = {}};
  for (const auto& [name, stood] : parsed.at("intake").items()) {
    uint16_t queue = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), queue).ec != std::errc{}) {
      return std::nullopt;
    }
    out.intake[queue] = {stood.at(0).get<uint32_t>(), stood.at(1).get<uint32_t>()};
  }
  return out;
} catch (const nlohmann::json::exception&) {
  return std::nullopt;
}

}  // namespace fettle
