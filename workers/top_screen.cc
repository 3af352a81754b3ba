#include "workers/top_screen.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "workers/amount_text.h"
#include "workers/top_tables.h"

namespace fettle {
namespace {

constexpr size_t kLeastWidth = 80;
constexpr size_t kLeastHeight = 24;

TopLine whole_line(std::string text, TopStyle style) {
  return {{.text = std::move(text), .style = style}};
}

std::vector<TopLine> too_small(const TopText& text, const TopView& view) {
  std::vector<TopLine> out{
      whole_line(text.left(fmt::format("{}x{} is too small", view.width, view.height), view.width),
                 TopStyle::kWarning)};
  if (view.height > 1) {
    out.push_back(whole_line(
        text.left(fmt::format("fettle top needs {}x{}", kLeastWidth, kLeastHeight), view.width),
        TopStyle::kPlain));
  }
  return out;
}

TopLine first_line(const TopText& text, const TopModel& model, const TopView& view) {
  const RunStatus& status = *model.status();
  const std::string what = fmt::format(
      "fettle {}, process {}: {}{} for {}", text.shown(status.version), status.pid,
      status.shadow ? "SHADOW, " : "", text.shown(status.phase), duration_text(status.up_ms));
  const bool silent = !model.silence().empty();
  const std::string_view state = view.paused ? "paused" : silent ? "no answer" : "";
  const size_t width = view.width - state.size() - 1;
  return {{.text = text.left(what, width) + " ", .style = TopStyle::kTitle},
          {.text = std::string(state), .style = silent ? TopStyle::kBad : TopStyle::kWarning}};
}

// Of a long path its end tells most.
TopLine rules_line(const TopText& text, const TopModel& model, size_t width) {
  const RunStatus& status = *model.status();
  const bool refused = status.last_reload && status.last_reload->exit != 0;
  const std::string_view reload = refused ? "; last reload refused" : "";
  const std::string pushed =
      status.pushed_rules > 0 ? fmt::format(", {} more by the firewall", status.pushed_rules) : "";
  const std::string behind = fmt::format(": {}{}, loaded {}", plural(status.rules.size(), "rule"),
                                         pushed, moment_text(status.loaded_at));
  const size_t room = width - std::min(width, 6 + behind.size() + reload.size());
  const std::string path = text.tail(text.shown(status.rule_file), room);
  return {{.text = fmt::format("rules {}{}", path, behind), .style = TopStyle::kPlain},
          {.text = std::string(reload), .style = TopStyle::kBad}};
}

TopLine silence_line(const TopText& text, const TopModel& model, size_t width) {
  const std::string line = "waiting for the next: " + text.shown(model.silence());
  return whole_line(text.left(line, width), TopStyle::kBad);
}

std::vector<TopLine> head(const TopText& text, const TopModel& model, const TopView& view) {
  if (model.status() == nullptr) {
    if (model.silence().empty()) return {whole_line("fettle top: asking ...", TopStyle::kTitle)};
    return {whole_line("fettle top", TopStyle::kTitle), silence_line(text, model, view.width)};
  }
  std::vector<TopLine> out{first_line(text, model, view), rules_line(text, model, view.width)};
  if (!model.silence().empty()) out.push_back(silence_line(text, model, view.width));
  return out;
}

TopLine foot(const TopText& text, const TopModel& model, const TopView& view) {
  const std::string line =
      fmt::format("q quit   s sort ({})   p {}   up/down pick a rule   h help   every {} s",
                  rule_order_name(model.order()), view.paused ? "go on" : "pause", view.interval);
  return whole_line(text.left(line, view.width), TopStyle::kDim);
}

std::vector<TopLine> help_lines(const TopText& text, size_t width) {
  constexpr std::string_view kLines[] = {
      "q, Ctrl-C          quit",
      "s                  sort the rules by hits/s, hits, misses, name",
      "p                  pause, and go on",
      "up, down, k, j     pick a rule; Page Up, Page Down, Home, End",
      "Esc                pick none",
      "h, ?, space        this, and back",
      "",
      "pkts/s ... other   per second: packets, their bytes, those that left as others,",
      "                   and verdicts: accept, drop, others (repeat, another queue)",
      "batch              packets that one receive brought, on average",
      "waiting, of        packets in the kernel's queue, and how many it takes",
      "lost/s, share      packets lost, or passed without having met the rules: how many",
      "                   each second, and how many of those that came",
      "more               since the last look",
      "misses             a rule matched, and a step of it could not be applied",
      "-                  not known yet",
  };
  std::vector<TopLine> out;
  for (const std::string_view line : kLines) {
    out.push_back(whole_line(text.left(line, width), TopStyle::kPlain));
  }
  return out;
}

struct Room {
  size_t queues;  // rows in each of both tables of queues
  size_t losses;
  size_t rules;
  bool apart;  // blank lines between the tables
};

// Rules get what the others leave, but three rows at least; queues go before losses.
Room share_out(const TopModel& model, size_t lines, size_t picked) {
  constexpr size_t kTables = 4;
  const size_t queues = queue_rows(model), losses = model.losses().size();
  const size_t rules = model.rules().size();
  const size_t headings = kTables + picked;
  size_t left = lines - std::min(lines, headings);
  const bool apart = 2 * queues + losses + std::min<size_t>(rules, 3) + kTables <= left;
  if (apart) left -= kTables;
  const size_t least_rules = std::min<size_t>(rules, 3), least_losses = std::min<size_t>(losses, 2);
  Room out{.queues = 0, .losses = 0, .rules = 0, .apart = apart};
  out.queues = std::min(queues, (left - least_rules - least_losses) / 2);
  out.losses = std::min(losses, left - least_rules - 2 * out.queues);
  out.rules = left - 2 * out.queues - out.losses;
  return out;
}

std::vector<TopLine> tables(const TopFrame& frame, size_t lines) {
  const std::vector<TopLine> picked = picked_lines(frame);
  const Room room = share_out(frame.model, lines, picked.size());
  std::vector<TopLine> out;
  for (const auto& table : {traffic_lines(frame, room.queues), depth_lines(frame, room.queues),
                            loss_lines(frame, room.losses), rule_lines(frame, room.rules)}) {
    if (room.apart) out.emplace_back();
    out.insert(out.end(), table.begin(), table.end());
  }
  out.insert(out.end(), picked.begin(), picked.end());
  return out;
}

}  // namespace

std::vector<TopLine> top_screen(const TopModel& model, const TopView& view) {
  const TopText text(view.utf8);
  const bool endless = view.height == 0;
  if (view.width < kLeastWidth || (!endless && view.height < kLeastHeight)) {
    return too_small(text, view);
  }
  std::vector<TopLine> out = head(text, model, view);
  // More than a million rules and all queues have.
  constexpr size_t kEndless = size_t{1} << 32;
  const size_t lines = endless ? kEndless : view.height - out.size() - (view.keys ? 1 : 0);
  std::vector<TopLine> body;
  if (view.help) {
    body = help_lines(text, view.width);
    body.insert(body.begin(), TopLine{});
  } else if (model.status() != nullptr) {
    const TopFrame frame{model, text, view.width, view.interval};
    body = tables(frame, lines);
  }
  out.insert(out.end(), body.begin(), body.end());
  if (view.keys) {
    if (!endless) out.resize(view.height - 1);
    out.push_back(foot(text, model, view));
  }
  return out;
}

}  // namespace fettle
