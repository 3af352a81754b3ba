// fettle top: what a running supervisor does, as it goes on.
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <clocale>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "workers/commands.h"
#include "workers/control_client.h"
#include "workers/printable.h"
#include "workers/standard_streams.h"
#include "workers/top_answers.h"
#include "workers/top_model.h"
#include "workers/top_screen.h"
#include "workers/top_terminal.h"

namespace fettle {
namespace {

struct TopFlags {
  ControlFlags control;
  double interval = 1;  // seconds
  bool once = false;
  uint64_t screens = 0;  // 0: a live view

  std::chrono::milliseconds every() const {
    return std::chrono::milliseconds(static_cast<int64_t>(interval * 1000));
  }
};

// As the environment has it; the rest of fettle does without.
bool take_locale() {
  std::setlocale(LC_CTYPE, "");
  return std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void take(TopAnswer answer, TopModel* model) {
  if (answer.status) {
    model->add(std::move(*answer.status), answer.at);
  } else {
    model->add_silence(answer.status.error().message);
  }
}

// ---- text ---------------------------------------------------------------------------------------

size_t output_width() {
  constexpr size_t kUsual = 80;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return kUsual;
  return std::max<size_t>(size.ws_col, kUsual);
}

Result<void> print_screen(const TopModel& model, const TopView& view) {
  std::string out;
  for (const TopLine& line : top_screen(model, view)) out += text_of(line) + "\n";
  const auto printed = print_out(out);
  return printed ? flush_out() : printed;
}

// The first screen, too, has rates: it is of the second answer.
Result<void> print_screens(const TopFlags& flags, bool utf8) {
  TopModel model;
  auto first = ask_once(flags.control);
  if (!first.status) return std::unexpected(first.status.error());
  take(std::move(first), &model);
  auto next = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < flags.screens; ++i) {
    next = std::max(next + flags.every(), std::chrono::steady_clock::now());
    std::this_thread::sleep_until(next);
    take(ask_once(flags.control), &model);
    if (i > 0) {
      if (auto apart = print_out("\n"); !apart) return apart;
    }
    const auto printed = print_screen(model, {.width = output_width(),
                                              .height = 0,
                                              .utf8 = utf8,
                                              .keys = false,
                                              .interval = flags.interval});
    if (!printed) return printed;
  }
  return {};
}

// ---- live ---------------------------------------------------------------------------------------

// Signals that end or resize it, as something that can be read: nothing is done in a handler.
Result<int> open_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH}) sigaddset(&set, signal);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0 || pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) {
    return fail(ErrorCode::kOs, fmt::format("top: no signalfd: {}", std::strerror(errno)));
  }
  return fd;
}

class LiveView {
 public:
  LiveView(TopTerminal terminal, TopAnswers answers, int signals, const TopView& view)
      : terminal_(std::move(terminal)),
        answers_(std::move(answers)),
        signals_(signals),
        view_(view) {}

  // Until somebody quits, a signal says so, or the terminal is gone.
  void run() {
    while (!over_) {
      draw();
      pollfd polled[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                         {.fd = signals_, .events = POLLIN, .revents = 0},
                         {.fd = answers_.fd(), .events = POLLIN, .revents = 0}};
      // Interrupted where it was stopped, and goes on: there may be a key.
      if (poll(polled, std::size(polled), -1) < 0 && errno != EINTR) return;
      if ((polled[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return;
      while (read_signal()) continue;
      if (auto answer = answers_.take()) take(std::move(*answer), &latest_);
      for (TopKey key = terminal_.read_key(); key != TopKey::kNone; key = terminal_.read_key()) {
        press(key);
      }
    }
  }

 private:
  TopModel& shown() { return frozen_ ? *frozen_ : latest_; }

  void draw() {
    view_.width = terminal_.width();
    view_.height = terminal_.height();
    view_.paused = frozen_ != nullptr;
    terminal_.draw(top_screen(shown(), view_));
  }

  bool read_signal() {
    signalfd_siginfo info{};
    if (read(signals_, &info, sizeof info) != sizeof info) return false;
    if (info.ssi_signo == SIGWINCH) {
      terminal_.resize();
    } else {
      over_ = true;
    }
    return true;
  }

  // Samples are taken meanwhile, so that histories have no gap.
  void pause_or_go_on() {
    if (!frozen_) {
      frozen_ = std::make_unique<TopModel>(latest_);
      return;
    }
    latest_.set_order(frozen_->order());
    latest_.pick_named(frozen_->picked_name());
    frozen_.reset();
  }

  void press(TopKey key) {
    constexpr ptrdiff_t kPage = 10, kFar = 1 << 30;
    switch (key) {
      case TopKey::kQuit:
        over_ = true;
        break;
      case TopKey::kSort:
        return shown().next_order();
      case TopKey::kPause:
        return pause_or_go_on();
      case TopKey::kHelp:
        view_.help = !view_.help;
        break;
      case TopKey::kUp:
        return shown().move_pick(-1);
      case TopKey::kDown:
        return shown().move_pick(1);
      case TopKey::kPageUp:
        return shown().move_pick(-kPage);
      case TopKey::kPageDown:
        return shown().move_pick(kPage);
      case TopKey::kHome:
        return shown().move_pick(-kFar);
      case TopKey::kEnd:
        return shown().move_pick(kFar);
      case TopKey::kUnpick:
        view_.help = false;
        return shown().pick_none();
      case TopKey::kNone:
      case TopKey::kOther:
        break;
    }
  }

  TopTerminal terminal_;
  TopAnswers answers_;
  int signals_;
  TopView view_;
  TopModel latest_;
  std::unique_ptr<TopModel> frozen_;  // while paused
  bool over_ = false;
};

Result<void> show_live(const TopFlags& flags, bool utf8) {
  // Who may not ask is told so, instead of waiting for good.
  const auto first = ask_once(flags.control);
  if (!first.status && first.status.error().code != ErrorCode::kUnavailable) {
    return std::unexpected(first.status.error());
  }
  const auto signals = open_signals();
  if (!signals) return std::unexpected(signals.error());
  auto terminal = TopTerminal::open();
  if (!terminal) return std::unexpected(terminal.error());
  auto answers = TopAnswers::start(flags.control, flags.every());
  if (!answers) return std::unexpected(answers.error());
  LiveView(std::move(*terminal), std::move(*answers), *signals,
           {.utf8 = utf8, .interval = flags.interval})
      .run();
  close(*signals);
  return {};
}

// Why; empty: it is good. CLI::Range would let "nan" pass.
std::string refused_interval(const std::string& text) {
  char* end = nullptr;
  const double seconds = std::strtod(text.c_str(), &end);
  if (!text.empty() && *end == '\0' && seconds >= 0.1 && seconds <= 3600) return "";
  return fmt::format("found \"{}\", expected seconds from 0.1 to 3600", printable(text));
}

}  // namespace

void add_top_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<TopFlags>();
  CLI::App* command = app.add_subcommand("top", "Watch what a running fettle does");
  add_socket_flags(*command, &flags->control);
  command->add_option("--interval", flags->interval, "Seconds from look to look")
      ->option_text("0.1-3600 (1)")
      ->check(refused_interval);
  CLI::Option* once = command->add_flag("--once", flags->once, "Print one screen, and end");
  command->add_option("--batch", flags->screens, "Print so many screens as text, and end")
      ->option_text("COUNT")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 32))
      ->excludes(once);
  command->footer(
      "Rates, verdicts, queues, losses and the busiest rules, with what they were like over the\n"
      "last 60 looks. Keys: q quit, s sort the rules, p pause, up and down pick a rule, h help.\n"
      "Where no fettle answers it waits for the next. --once and --batch print all queues and\n"
      "rules, need no terminal, and end with 69 where none answers at the start.\n\n"
      "Examples:\n"
      "  fettle top\n"
      "  fettle top --batch 60 --interval 10 > ten-minutes\n");
  command->callback([flags, exit_code] {
    if (flags->once) flags->screens = 1;
    const bool utf8 = take_locale();
    const auto shown = flags->screens > 0 ? print_screens(*flags, utf8) : show_live(*flags, utf8);
    if (!shown) *exit_code = report(shown.error());
  });
}

}  // namespace fettle
