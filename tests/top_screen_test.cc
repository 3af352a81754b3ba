// The screen of `fettle top` in lines, at sizes that fit and at those that do not.
#include "workers/top_screen.h"

#include <clocale>
#include <cstdlib>
#include <ctime>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/top_cases.h"
#include "workers/amount_text.h"

namespace fettle {
namespace {

class TopScreenTest : public ::testing::Test {
 protected:
  TopScreenTest() {
    setenv("TZ", "UTC", 1);
    tzset();
    std::setlocale(LC_CTYPE, "C.UTF-8");
  }
};

std::string text(const TopModel& model, const TopView& view = {}) {
  std::string out;
  for (const TopLine& line : top_screen(model, view)) out += text_of(line) + "\n";
  return out;
}

// No line is too wide, and there are not too many; both as a terminal counts.
void expect_fits(const TopModel& model, const TopView& view) {
  const auto lines = top_screen(model, view);
  if (view.height > 0) {
    EXPECT_LE(lines.size(), view.height);
  }
  for (const TopLine& line : lines) {
    size_t width = 0;
    for (const TopPart& part : line) width += text_width(part.text);
    EXPECT_LE(width, view.width) << text_of(line);
  }
}

// Two samples, a second apart, of a supervisor that has work.
TopModel busy(size_t queues, size_t rules) {
  TopModel model;
  RunStatus status = status_at(7980, queues, rules);
  model.add(status, second(0));
  for (int step = 1; step <= 3; ++step) {
    status.up_ms += 1000;
    for (size_t i = 0; i < queues; ++i) {
      QueueCounters& counters = status.queues[i].counters;
      counters.packets += 20'100 * static_cast<uint64_t>(step);
      counters.bytes += 1'206'000 * static_cast<uint64_t>(step);
      counters.changed += 20'000 * static_cast<uint64_t>(step);
      counters.accepted += 20'099 * static_cast<uint64_t>(step);
      counters.dropped += 1;
      counters.batches += 2000;
      counters.waiting = 1024 * (i + 1);
      counters.queue_full += i == 1 ? 10'050 * static_cast<uint64_t>(step) : 0;
    }
    for (size_t i = 0; i < rules; ++i) status.rules[i].hits += i;
    model.add(status, second(step));
  }
  return model;
}

TEST_F(TopScreenTest, Golden) {
  TopModel model = busy(2, 3);
  model.move_pick(1);
  EXPECT_EQ(text(model), R"(fettle 0.1.0, process 4242: running for 2 h 13 min
rules print-servers.toml: 3 rules, loaded 2023-11-14 22:13:20

queue worker       pkts/s bytes/s changed  accept    drop  other batch last 60 s
    0 running       60.3k   3.62M   60.0k   60.3k       1      0    30         █
    1 running       60.3k   3.62M   60.0k   60.3k       1      0    30         █
  all                121k   7.24M    120k    121k       2      0    30         █

queue waiting           of     last 60 s lost/s share        last 60 s restarts
    0 ██░░░░░░   1024/4096             ▃      0 ░░░░░░░░             ▁        0
    1 ████░░░░   2048/4096             ▅  30.1k ██░░░░░░             █        0
  all ███░░░░░   3072/8192             ▄  30.1k █░░░░░░░             █        0

       total      more lost, or passed unchanged: where and why
       60300    +30150 kernel: the queue was full, dropped

  hits/s misses/s       hits   misses last 60 s rule, by hits/s
>      2        0          6        0         █ rule 2
       1        0          3        0         █ rule 1
       0        0          0        0         ▁ rule 0
> rule 2
  6 hits, 2/s; 0 misses, 0/s; most in the last 60 s: 2 hits/s
                                                           ███
q quit   s sort (hits/s)   p pause   up/down pick a rule   h help   every 1 s
)");
}

TEST_F(TopScreenTest, FirstSampleShowsNoRates) {
  TopModel model;
  model.add(status_at(1, 1, 1), second(0));
  const std::string screen = text(model);
  EXPECT_NE(screen.find("    0 running           -       -"), std::string::npos) << screen;
  EXPECT_NE(screen.find("nothing lost\n"), std::string::npos) << screen;
}

TEST_F(TopScreenTest, AShadowStandsInTheFirstLine) {
  TopModel model;
  RunStatus status = status_at(1, 1, 1);
  status.shadow = true;
  model.add(status, second(0));
  EXPECT_TRUE(text(model).starts_with("fettle 0.1.0, process 4242: SHADOW, running for "))
      << text(model);
}

TEST_F(TopScreenTest, TooSmall) {
  const TopModel model = busy(1, 1);
  EXPECT_EQ(text(model, {.width = 79}), "79x24 is too small\nfettle top needs 80x24\n");
  EXPECT_EQ(text(model, {.height = 23}), "80x23 is too small\nfettle top needs 80x24\n");
  EXPECT_EQ(text(model, {.width = 5, .height = 1}), "5x1 …\n");
}

TEST_F(TopScreenTest, FitsAtAnySize) {
  for (const size_t queues : {0U, 1U, 2U, 3U, 8U, 64U}) {
    for (const size_t rules : {0U, 1U, 5U, 200U}) {
      TopModel model = busy(queues, rules);
      for (const bool pick : {false, true}) {
        if (pick) model.move_pick(3);
        for (const size_t width : {1U, 79U, 80U, 81U, 100U, 132U, 400U}) {
          for (const size_t height : {1U, 23U, 24U, 25U, 40U, 100U, 0U}) {
            SCOPED_TRACE(fmt::format("{} queues, {} rules, {}x{}", queues, rules, width, height));
            expect_fits(model, {.width = width, .height = height});
            expect_fits(model, {.width = width, .height = height, .utf8 = false, .help = true});
          }
        }
      }
    }
  }
}

TEST_F(TopScreenTest, ManyQueuesAreCutAndSummedUp) {
  const TopModel model = busy(64, 3);
  const std::string screen = text(model);
  EXPECT_NE(screen.find("      and 60 more\n  all "), std::string::npos) << screen;
  EXPECT_NE(screen.find("rule 2\n"), std::string::npos) << screen;
  const std::string all = text(model, {.height = 0, .keys = false});
  EXPECT_EQ(all.find("more\n"), std::string::npos);
  EXPECT_NE(all.find("\n   63 running"), std::string::npos);
}

TEST_F(TopScreenTest, ManyRulesScroll) {
  TopModel model = busy(1, 10'000);
  std::string screen = text(model);
  EXPECT_NE(screen.find(" rule 9999\n"), std::string::npos) << screen;
  EXPECT_NE(screen.find("      and 9990 more\n"), std::string::npos) << screen;
  model.move_pick(5001);
  screen = text(model);
  EXPECT_NE(screen.find("\n> "), std::string::npos) << screen;
  EXPECT_NE(screen.find("> rule 4999\n  14997 hits, 5.00k/s"), std::string::npos) << screen;
  model.move_pick(100'000);
  screen = text(model);
  EXPECT_NE(screen.find(" rule 0\n      and "), std::string::npos) << screen;
}

TEST_F(TopScreenTest, NamesAreMadePrintableAndCutByCells) {
  RunStatus status = status_at(1);
  status.rules = {
      {"\x1b[31mred\r\xff", 3, 0}, {"\u6253\u5370\u673a", 2, 0}, {std::string(500, 'x'), 1, 0}};
  TopModel model;
  model.add(status, second(0));
  const std::string screen = text(model);
  EXPECT_NE(screen.find(R"( \x1b[31mred\r\xff)"), std::string::npos) << screen;
  EXPECT_NE(screen.find(" \u6253\u5370\u673a\n"), std::string::npos) << screen;
  EXPECT_NE(screen.find("xxx\u2026\n"), std::string::npos) << screen;
  const std::string ascii = text(model, {.utf8 = false});
  EXPECT_NE(ascii.find(" ???\n"), std::string::npos) << ascii;
  for (const char byte : ascii) EXPECT_GE(byte, 0);
}

TEST_F(TopScreenTest, PausedAndSilent) {
  TopModel model = busy(1, 1);
  EXPECT_EQ(text(model, {.paused = true}).find("fettle 0.1.0"), 0U);
  EXPECT_NE(text(model, {.paused = true}).find(" paused\n"), std::string::npos);
  model.add_silence("/run/x: no fettle\x1b listens");
  const std::string screen = text(model);
  EXPECT_NE(screen.find(" no answer\n"), std::string::npos);
  EXPECT_NE(screen.find("\nwaiting for the next: /run/x: no fettle\\x1b listens\n"),
            std::string::npos)
      << screen;
}

TEST_F(TopScreenTest, NobodyYet) {
  TopModel model;
  EXPECT_EQ(text(model).find("fettle top: asking ...\n"), 0U);
  model.add_silence("nobody");
  EXPECT_EQ(text(model).find("fettle top\nwaiting for the next: nobody\n"), 0U);
}

TEST_F(TopScreenTest, OfALongPathTheEndIsShown) {
  RunStatus status = status_at(1);
  status.rule_file = "/a/very/long/way" + std::string(100, '/') + "/rules.toml";
  status.last_reload = ReloadReport{.at = 1, .exit = 65, .message = "wrong"};
  TopModel model;
  model.add(status, second(0));
  EXPECT_NE(
      text(model).find("/rules.toml: 0 rules, loaded 2023-11-14 22:13:20; last reload refused\n"),
      std::string::npos)
      << text(model);
}

TEST_F(TopScreenTest, WorkersInTroubleStandOut) {
  RunStatus status = status_at(1);
  status.queues[0].worker.state = "backing off";
  TopModel model;
  model.add(status, second(0));
  bool found = false;
  for (const TopLine& line : top_screen(model, {})) {
    for (const TopPart& part : line) {
      found = found || (part.text == "backing off" && part.style == TopStyle::kBad);
    }
  }
  EXPECT_TRUE(found);
}

TEST(ShortNumber, ThreeDigitsInFiveColumns) {
  constexpr std::pair<double, std::string_view> kCases[] = {
      {0, "0"},           {1, "1"},          {4.24, "4.2"},     {9.96, "10"},
      {999.4, "999"},     {999.5, "1.00k"},  {1000, "1.00k"},   {9994, "9.99k"},
      {9996, "10.0k"},    {99'949, "99.9k"}, {99'960, "100k"},  {999'499, "999k"},
      {999'600, "1.00M"}, {1.5e9, "1.50G"},  {18.4e18, "18.4E"}};
  for (const auto& [number, expected] : kCases) EXPECT_EQ(short_number(number), expected) << number;
}

TEST(TopText, SparklinesKeepWhatIsLittleApartFromNothing) {
  History history;
  for (const double value : {0.0, 1.0, 500.0, 1000.0}) history.add(value);
  EXPECT_EQ(TopText(true).sparkline(history, 1000, 60), std::string(56, ' ') + "▁▂▅█");
  EXPECT_EQ(TopText(false).sparkline(history, 1000, 60), std::string(56, ' ') + "_.=#");
  EXPECT_EQ(TopText(true).sparkline(history, 0, 60), std::string(56, ' ') + "▁▁▁▁");
  EXPECT_EQ(TopText(true).sparkline(history, 1000, 6), "     █") << "the highest of ten";
}

TEST(TopText, BarsShowWhatIsLittle) {
  EXPECT_EQ(TopText(true).bar(0, 4), "░░░░");
  EXPECT_EQ(TopText(true).bar(0.001, 4), "█░░░");
  EXPECT_EQ(TopText(true).bar(0.5, 4), "██░░");
  EXPECT_EQ(TopText(false).bar(7, 4), "####");
}

}  // namespace
}  // namespace fettle
