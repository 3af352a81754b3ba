#include "workers/top_terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "workers/printable.h"
#include "workers/standard_streams.h"

#define NCURSES_NOMACROS
#include <curses.h>
#include <term.h>
// Of term.h, which they are hardly the last to be named by.
#undef lines
#undef columns

namespace fettle {
namespace {

constexpr std::string_view kOtherwise = "(--once and --batch need none)";

short pair_of(TopStyle style) {
  switch (style) {
    case TopStyle::kGood:
      return 1;
    case TopStyle::kWarning:
      return 2;
    case TopStyle::kBad:
      return 3;
    case TopStyle::kBar:
    case TopStyle::kHeading:
      return 4;
    default:
      return 0;
  }
}

bool g_colours = false;

void take_colours() {
  g_colours = wants_colour(STDOUT_FILENO) && has_colors() && start_color() == OK;
  if (!g_colours) return;
  const short ground = use_default_colors() == OK ? -1 : COLOR_BLACK;
  constexpr short kColours[] = {COLOR_GREEN, COLOR_YELLOW, COLOR_RED, COLOR_CYAN};
  for (short i = 0; i < 4; ++i) init_pair(static_cast<short>(i + 1), kColours[i], ground);
}

// What is bad stands out without colours, too.
attr_t attributes_of(TopStyle style) {
  switch (style) {
    case TopStyle::kTitle:
    case TopStyle::kWarning:
    case TopStyle::kBad:
      return A_BOLD;
    case TopStyle::kPicked:
      return A_REVERSE;
    case TopStyle::kHeading:
      return g_colours ? A_NORMAL : A_UNDERLINE;
    default:
      return A_NORMAL;
  }
}

// A screen is made of places on it; a terminal of lines alone, such as "dumb", has none.
bool can_place(SCREEN* screen) {
  if (screen == nullptr) return false;
  const char* place = tigetstr(const_cast<char*>("cup"));
  return place != nullptr && place != reinterpret_cast<char*>(-1);
}

}  // namespace

Result<TopTerminal> TopTerminal::open() {
  for (const auto& [fd, name] :
       {std::pair(STDIN_FILENO, "input"), std::pair(STDOUT_FILENO, "output")}) {
    if (isatty(fd)) continue;
    return fail(ErrorCode::kUsage,
                fmt::format("top: standard {} is no terminal, expected one {}", name, kOtherwise));
  }
  SCREEN* screen = newterm(nullptr, stdout, stdin);
  if (!can_place(screen)) {
    if (screen != nullptr) {
      endwin();
      delscreen(screen);
    }
    const char* name = std::getenv("TERM");
    return fail(ErrorCode::kUsage,
                fmt::format("top: found TERM=\"{}\", expected a terminal that terminfo knows and "
                            "that can place text {}",
                            printable(name == nullptr ? "" : name), kOtherwise));
  }
  cbreak();
  noecho();
  nodelay(stdscr, TRUE);
  keypad(stdscr, TRUE);
  set_escdelay(25);
  curs_set(0);
  take_colours();
  return TopTerminal(screen);
}

TopTerminal::TopTerminal(TopTerminal&& other) noexcept
    : screen_(std::exchange(other.screen_, nullptr)) {}

TopTerminal::~TopTerminal() {
  if (screen_ == nullptr) return;
  endwin();
  delscreen(static_cast<SCREEN*>(screen_));
}

size_t TopTerminal::width() const { return static_cast<size_t>(getmaxx(stdscr)); }

size_t TopTerminal::height() const { return static_cast<size_t>(getmaxy(stdscr)); }

void TopTerminal::resize() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return;
  resizeterm(size.ws_row, size.ws_col);
  // What the terminal made of its old text nobody knows.
  clearok(curscr, TRUE);
}

void TopTerminal::draw(const std::vector<TopLine>& drawn) {
  werase(stdscr);
  for (size_t i = 0; i < drawn.size(); ++i) {
    wmove(stdscr, static_cast<int>(i), 0);
    for (const TopPart& part : drawn[i]) {
      wattr_set(stdscr, attributes_of(part.style), g_colours ? pair_of(part.style) : 0, nullptr);
      waddstr(stdscr, part.text.c_str());
    }
  }
  wattr_set(stdscr, A_NORMAL, 0, nullptr);
  wrefresh(stdscr);
}

TopKey TopTerminal::read_key() {
  constexpr int kEscape = 27;
  switch (wgetch(stdscr)) {
    case ERR:
      return TopKey::kNone;
    case 'q':
    case 'Q':
      return TopKey::kQuit;
    case 's':
      return TopKey::kSort;
    case 'p':
      return TopKey::kPause;
    case 'h':
    case '?':
    case ' ':
      return TopKey::kHelp;
    case KEY_UP:
    case 'k':
      return TopKey::kUp;
    case KEY_DOWN:
    case 'j':
      return TopKey::kDown;
    case KEY_PPAGE:
      return TopKey::kPageUp;
    case KEY_NPAGE:
      return TopKey::kPageDown;
    case KEY_HOME:
      return TopKey::kHome;
    case KEY_END:
      return TopKey::kEnd;
    case kEscape:
      return TopKey::kUnpick;
    default:
      return TopKey::kOther;
  }
}

}  // namespace fettle
