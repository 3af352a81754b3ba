// The terminal of `fettle top`: ncurses, and nothing of what is shown.
#pragma once

#include <cstddef>
#include <vector>

#include "core/result.h"
#include "workers/top_text.h"

namespace fettle {

enum class TopKey {
  kNone,
  kOther,
  kQuit,
  kSort,
  kPause,
  kHelp,
  kUp,
  kDown,
  kPageUp,
  kPageDown,
  kHome,
  kEnd,
  kUnpick
};

// There is one at a time. Its destructor leaves the terminal as it was.
class TopTerminal {
 public:
  // Takes standard input and output. Errors: kUsage (they are no terminal, or one that cannot show
  // a screen).
  static Result<TopTerminal> open();
  TopTerminal(TopTerminal&& other) noexcept;
  TopTerminal& operator=(TopTerminal&&) = delete;
  ~TopTerminal();

  size_t width() const;
  size_t height() const;
  // After SIGWINCH: asks how large the terminal is now.
  void resize();
  void draw(const std::vector<TopLine>& lines);
  // kNone: no key was pressed since.
  TopKey read_key();

 private:
  explicit TopTerminal(void* screen) : screen_(screen) {}
  void* screen_;
};

}  // namespace fettle
