#include "workers/top_tables.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "workers/amount_text.h"

namespace fettle {
namespace {

constexpr size_t kState = 11;  // "backing off"
constexpr size_t kRate = 7;
constexpr size_t kBeforeName = 39;  // columns of a rule's line, without its sparkline

// Wide as it is, a terminal has no more than this much history to show.
size_t spread(size_t left, size_t parts) {
  return std::clamp<size_t>(left / parts, 1, History::kLength);
}

std::string count_text(uint64_t number, size_t width) {
  std::string out = std::to_string(number);
  return out.size() <= width ? out : short_number(static_cast<double>(number));
}

// Nothing is known before there are two samples.
std::string rate_text(const TopModel& model, double per_second) {
  return model.seconds() > 0 ? short_number(per_second) : "-";
}

// How far a history reaches back.
std::string reach_text(double interval) {
  const double seconds = interval * History::kLength;
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  return seconds < 7200 ? fmt::format("{:.0f} min", seconds / 60)
                        : fmt::format("{:.0f} h", seconds / 3600);
}

// The same above a sparkline.
std::string reach_of(const TopFrame& frame, size_t cells) {
  const std::string reach = reach_text(frame.interval), heading = "last " + reach;
  return heading.size() <= cells ? heading : reach;
}

TopStyle state_style(std::string_view state) {
  if (state == "running") return TopStyle::kGood;
  return state == "backing off" || state == "ended" ? TopStyle::kBad : TopStyle::kWarning;
}

void add(QueueCounters* sum, const QueueCounters& more) {
  for (const QueueCounter& counter : queue_counters()) sum->*counter.value += more.*counter.value;
}

History sum_of(const std::vector<TopQueue>& queues, History TopQueue::*member) {
  History out;
  for (size_t ago = History::kLength; ago-- > 0;) {
    double sum = 0;
    bool any = false;
    for (const TopQueue& queue : queues) {
      const auto value = (queue.*member).ago(ago);
      any = any || value;
      sum += value.value_or(0);
    }
    if (any) out.add(sum);
  }
  return out;
}

TopQueue all_of(const std::vector<TopQueue>& queues) {
  TopQueue out;
  for (const TopQueue& queue : queues) {
    add(&out.report.counters, queue.report.counters);
    add(&out.increase, queue.increase);
    out.report.settings.length += queue.report.settings.length;
    out.report.worker.restarts += queue.report.worker.restarts;
  }
  out.packets = sum_of(queues, &TopQueue::packets);
  out.waiting = sum_of(queues, &TopQueue::waiting);
  out.lost = sum_of(queues, &TopQueue::lost);
  return out;
}

TopLine more_line(const TopFrame& frame, size_t more) {
  return {{.text = frame.text.left(fmt::format("      and {} more", more), frame.width),
           .style = TopStyle::kDim}};
}

// A line for each queue, those that find no room as their number, and one for all.
template <typename LineOf>
void add_queue_rows(const TopFrame& frame, size_t rows, LineOf line_of, std::vector<TopLine>* out) {
  const auto& queues = frame.model.queues();
  const size_t shown =
      rows >= queue_rows(frame.model) ? queues.size() : rows - std::min<size_t>(rows, 2);
  for (const TopQueue& queue : std::span(queues).first(shown)) {
    out->push_back(line_of(queue, std::to_string(queue.report.queue)));
  }
  if (shown < queues.size()) out->push_back(more_line(frame, queues.size() - shown));
  if (queues.size() > 1) out->push_back(line_of(all_of(queues), "all"));
}

struct DepthWidths {
  size_t bar;
  size_t sparkline;
};

TopLine depth_line(const TopFrame& frame, const TopQueue& queue, const std::string& name,
                   DepthWidths widths) {
  const uint64_t waiting = queue.report.counters.waiting, length = queue.report.settings.length;
  const double depth = length == 0 ? 0 : static_cast<double>(waiting) / static_cast<double>(length);
  const uint64_t lost = lost_packets(queue.increase), came = lost + queue.increase.packets;
  const double share = came == 0 ? 0 : static_cast<double>(lost) / static_cast<double>(came);
  const TopStyle depth_style = depth >= 0.9   ? TopStyle::kBad
                               : depth >= 0.5 ? TopStyle::kWarning
                                              : TopStyle::kBar;
  const TopStyle lost_style = lost > 0 ? TopStyle::kBad : TopStyle::kPlain;
  const TopText& text = frame.text;
  const auto top = static_cast<double>(length);
  return TopLineBuilder(frame.text)
      .right(name, 5)
      .left(text.bar(depth, widths.bar), widths.bar, depth_style)
      .right(fmt::format("{}/{}", count_text(waiting, 5), count_text(length, 5)), 11)
      .right(text.sparkline(queue.waiting, top, widths.sparkline), widths.sparkline, TopStyle::kBar)
      .right(rate_text(frame.model, frame.model.rate(lost)), 6, lost_style)
      .left(text.bar(share, widths.bar), widths.bar, lost > 0 ? TopStyle::kBad : TopStyle::kBar)
      .right(text.sparkline(queue.lost, queue.lost.peak(), widths.sparkline), widths.sparkline,
             TopStyle::kBar)
      .right(std::to_string(queue.report.worker.restarts), 8)
      .take();
}

TopLine traffic_line(const TopFrame& frame, const TopQueue& queue, const std::string& name,
                     size_t sparkline) {
  const TopModel& model = frame.model;
  const QueueCounters& more = queue.increase;
  const auto rate = [&](uint64_t increase) { return rate_text(model, model.rate(increase)); };
  const double batch =
      more.batches == 0 ? 0 : static_cast<double>(more.packets) / static_cast<double>(more.batches);
  const std::string& state = queue.report.worker.state;
  return TopLineBuilder(frame.text)
      .right(name, 5)
      .left(frame.text.shown(state), kState, state_style(state))
      .right(rate(more.packets), kRate, TopStyle::kTitle)
      .right(rate(more.bytes), kRate)
      .right(rate(more.changed), kRate)
      .right(rate(more.accepted), kRate)
      .right(rate(more.dropped), kRate)
      .right(rate(more.repeated + more.requeued), 6)
      .right(more.batches == 0 ? "-" : short_number(batch), 5)
      .right(frame.text.sparkline(queue.packets, queue.packets.peak(), sparkline), sparkline,
             TopStyle::kBar)
      .take();
}

TopLine rule_line(const TopFrame& frame, const TopRule& rule, bool picked, size_t sparkline) {
  const TopStyle style = picked ? TopStyle::kPicked : TopStyle::kPlain;
  return TopLineBuilder(frame.text)
      .left(picked ? ">" : "", 1, style)
      .right(rate_text(frame.model, rule.hits_per_second), kRate - 1, style)
      .right(rate_text(frame.model, rule.misses_per_second), 8, style)
      .right(count_text(rule.hits, 10), 10, style)
      .right(count_text(rule.misses, 8), 8, style)
      .right(frame.text.sparkline(rule.history, rule.history.peak(), sparkline), sparkline,
             picked ? style : TopStyle::kBar)
      .left(frame.text.shown(rule.name), frame.width - sparkline - kBeforeName, style)
      .take();
}

}  // namespace

size_t queue_rows(const TopModel& model) {
  return model.queues().size() + (model.queues().size() > 1 ? 1 : 0);
}

std::vector<TopLine> traffic_lines(const TopFrame& frame, size_t rows) {
  const size_t sparkline = spread(frame.width - 71, 1);
  constexpr TopStyle kStyle = TopStyle::kHeading;
  std::vector<TopLine> out{TopLineBuilder(frame.text)
                               .right("queue", 5, kStyle)
                               .left("worker", kState, kStyle)
                               .right("pkts/s", kRate, kStyle)
                               .right("bytes/s", kRate, kStyle)
                               .right("changed", kRate, kStyle)
                               .right("accept", kRate, kStyle)
                               .right("drop", kRate, kStyle)
                               .right("other", 6, kStyle)
                               .right("batch", 5, kStyle)
                               .right(reach_of(frame, sparkline), sparkline, kStyle)
                               .take()};
  add_queue_rows(
      frame, rows,
      [&](const TopQueue& queue, const std::string& name) {
        return traffic_line(frame, queue, name, sparkline);
      },
      &out);
  return out;
}

std::vector<TopLine> depth_lines(const TopFrame& frame, size_t rows) {
  const size_t bar = std::clamp<size_t>(8 + (frame.width - 80) / 8, 8, 20);
  const size_t sparkline = spread(frame.width - 37 - 2 * bar, 2);
  constexpr TopStyle kStyle = TopStyle::kHeading;
  const std::string reach = reach_of(frame, sparkline);
  std::vector<TopLine> out{TopLineBuilder(frame.text)
                               .right("queue", 5, kStyle)
                               .left("waiting", bar, kStyle)
                               .right("of", 11, kStyle)
                               .right(reach, sparkline, kStyle)
                               .right("lost/s", 6, kStyle)
                               .left("share", bar, kStyle)
                               .right(reach, sparkline, kStyle)
                               .right("restarts", 8, kStyle)
                               .take()};
  add_queue_rows(
      frame, rows,
      [&](const TopQueue& queue, const std::string& name) {
        return depth_line(frame, queue, name, {.bar = bar, .sparkline = sparkline});
      },
      &out);
  return out;
}

std::vector<TopLine> loss_lines(const TopFrame& frame, size_t rows) {
  const auto& losses = frame.model.losses();
  if (losses.empty()) {
    return {{{.text = frame.text.left("nothing lost", frame.width), .style = TopStyle::kGood}}};
  }
  std::vector<TopLine> out{
      TopLineBuilder(frame.text)
          .right("total", 12, TopStyle::kHeading)
          .right("more", 9, TopStyle::kHeading)
          .left("lost, or passed unchanged: where and why", frame.width - 23, TopStyle::kHeading)
          .take()};
  const size_t shown = rows >= losses.size() ? losses.size() : rows - std::min<size_t>(rows, 1);
  for (const TopLoss& loss : std::span(losses).first(shown)) {
    const TopStyle style = loss.increase > 0 ? TopStyle::kBad : TopStyle::kPlain;
    out.push_back(TopLineBuilder(frame.text)
                      .right(count_text(loss.total, 12), 12, style)
                      .right(frame.model.seconds() > 0
                                 ? fmt::format("+{}", count_text(loss.increase, 8))
                                 : "-",
                             9, style)
                      .left(loss.place, frame.width - 23, style)
                      .take());
  }
  if (shown < losses.size()) out.push_back(more_line(frame, losses.size() - shown));
  return out;
}

std::vector<TopLine> rule_lines(const TopFrame& frame, size_t rows) {
  const TopModel& model = frame.model;
  const size_t sparkline = std::clamp<size_t>(9 + (frame.width - 80) / 3, 9, History::kLength);
  const auto heading = [&](RuleOrder order, std::string_view text, size_t width,
                           TopLineBuilder* line) {
    line->right(text, width, model.order() == order ? TopStyle::kTitle : TopStyle::kHeading);
  };
  TopLineBuilder line(frame.text);
  line.left("", 1);
  heading(RuleOrder::kRate, "hits/s", kRate - 1, &line);
  line.right("misses/s", 8, TopStyle::kHeading);
  heading(RuleOrder::kHits, "hits", 10, &line);
  heading(RuleOrder::kMisses, "misses", 8, &line);
  line.right(reach_of(frame, sparkline), sparkline, TopStyle::kHeading);
  line.left(fmt::format("rule, by {}", rule_order_name(model.order())),
            frame.width - sparkline - kBeforeName,
            model.order() == RuleOrder::kName ? TopStyle::kTitle : TopStyle::kHeading);
  std::vector<TopLine> out{line.take()};
  const auto& ranking = model.ranking();
  const size_t shown = rows >= ranking.size() ? ranking.size() : rows - std::min<size_t>(rows, 1);
  // The rule that is picked stays in the middle, but at both ends.
  const size_t rank = model.picked_rank();
  const size_t first = std::min(rank - std::min(rank, shown / 2), ranking.size() - shown);
  for (const size_t rule : std::span(ranking).subspan(first, shown)) {
    out.push_back(rule_line(frame, model.rules()[rule], model.picked() == rule, sparkline));
  }
  if (shown < ranking.size()) out.push_back(more_line(frame, ranking.size() - shown));
  return out;
}

std::vector<TopLine> picked_lines(const TopFrame& frame) {
  if (!frame.model.picked()) return {};
  const TopModel& model = frame.model;
  const TopRule& rule = model.rules()[*model.picked()];
  const std::string counts = fmt::format(
      "  {} hits, {}/s; {} misses, {}/s; most in the last {}: {} hits/s", rule.hits,
      rate_text(model, rule.hits_per_second), rule.misses, rate_text(model, rule.misses_per_second),
      reach_text(frame.interval), short_number(rule.history.peak()));
  return {{{.text = frame.text.left("> " + frame.text.shown(rule.name), frame.width),
            .style = TopStyle::kTitle}},
          {{.text = frame.text.left(counts, frame.width), .style = TopStyle::kPlain}},
          {{.text = "  ", .style = TopStyle::kPlain},
           {.text = frame.text.sparkline(rule.history, rule.history.peak(), History::kLength),
            .style = TopStyle::kBar}}};
}

}  // namespace fettle
