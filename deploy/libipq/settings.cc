#include "deploy/libipq/settings.h"

#include <cstdlib>

namespace libipq {
namespace {

// Leaves `value` alone where the variable is not set, or empty. Decimal digits only: strtoul takes
// "-1" for much.
bool read_number(const char* name, uint32_t most, uint32_t& value, bool& given) {
  const char* digit = secure_getenv(name);
  if (digit == nullptr || *digit == '\0') return true;
  uint64_t number = 0;
  for (; *digit != '\0'; ++digit) {
    if (*digit < '0' || *digit > '9') return false;
    number = 10 * number + static_cast<uint64_t>(*digit - '0');
    if (number > most) return false;
  }
  value = static_cast<uint32_t>(number);
  given = true;
  return true;
}

}  // namespace

bool read_settings(bool ipv6, Settings& settings) {
  uint32_t queue = 0;
  uint32_t fail_open = 0;
  bool given = false;
  if (!read_number("LIBIPQ_QUEUE", 0xffff, queue, given)) return false;
  if (ipv6 && !read_number("LIBIPQ_QUEUE6", 0xffff, queue, given)) return false;
  if (!read_number("LIBIPQ_FAIL_OPEN", 1, fail_open, given)) return false;
  if (!read_number("LIBIPQ_QUEUE_LENGTH", 1U << 20, settings.length, settings.length_given))
    return false;
  settings.queue = static_cast<uint16_t>(queue);
  settings.fail_open = fail_open == 1;
  return true;
}

}  // namespace libipq
