#include "workers/landlock.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>

namespace fettle {
namespace {

// linux/landlock.h of the newest version known here; a kernel takes the beginning that it knows.
struct RulesetAttributes {
  uint64_t handled_access_fs = 0;
  uint64_t handled_access_net = 0;  // from version 4 on
  uint64_t scoped = 0;              // from version 6 on
};
constexpr uint32_t kAskVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION

// Rights over files: bits 0 to N - 1, by version: 1, REFER (2), TRUNCATE (3), -, IOCTL_DEV (5).
constexpr std::array kFileRights{13, 14, 15, 15, 16};
constexpr uint64_t kTcpRights = 3;  // bind, connect
constexpr uint64_t kScopes = 3;     // abstract sockets, signals

long create_ruleset(const RulesetAttributes* attributes, size_t size, uint32_t flags) {
  return syscall(SYS_landlock_create_ruleset, attributes, size, flags);
}

std::unexpected<Error> failed(const char* what) {
  return fail(ErrorCode::kOs, fmt::format("landlock: cannot {}: {}", what, std::strerror(errno)));
}

}  // namespace

int landlock_version() noexcept {
  return static_cast<int>(std::max(0l, create_ruleset(nullptr, 0, kAskVersion)));
}

Result<void> enter_landlock(int version) {
  const size_t known = std::min(static_cast<size_t>(version), kFileRights.size());
  RulesetAttributes attributes{.handled_access_fs = (1ull << kFileRights[known - 1]) - 1};
  size_t size = sizeof attributes.handled_access_fs;
  if (version >= 4) {
    attributes.handled_access_net = kTcpRights;
    size = offsetof(RulesetAttributes, scoped);
  }
  if (version >= 6) {
    attributes.scoped = kScopes;
    size = sizeof attributes;
  }
  // What is handled and allowed by no rule is refused, and there is no rule.
  const auto ruleset = static_cast<int>(create_ruleset(&attributes, size, 0));
  if (ruleset < 0) return failed("make a rule set");
  const long entered = syscall(SYS_landlock_restrict_self, ruleset, 0);
  const int error = errno;
  close(ruleset);
  errno = error;
  if (entered != 0) return failed("restrict this process");
  return {};
}

}  // namespace fettle
