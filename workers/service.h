// What fettle says to systemd, and what that keeps for it: readiness, the watchdog, and the file
// descriptor store, in which queues outlive the whole program. Nothing where no service manager
// started it.
//
// Source: sd_notify(3), sd_listen_fds(3), org.freedesktop.systemd1(5).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "workers/estate.h"

namespace fettle {

class Service {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and LISTEN_FDS, and takes these out of the environment.
  static Service from_environment();

  bool managed() const { return managed_; }
  // The queues that were in the store when the program was started; once.
  std::vector<Estate> take_stored() { return std::move(stored_); }
  // Puts a part of a queue into the store, instead of what was there under this name.
  void store(uint16_t queue, Part part, int fd) const;
  void forget(uint16_t queue) const;

  void ready(const std::string& status) const;
  void reloading() const;
  void stopping() const;
  // Between two signs of life; 0: none is wanted.
  std::chrono::microseconds watchdog() const { return watchdog_; }
  void beat() const;

  // Whether this unit is to be started again at once (systemctl restart), so that the store stays.
  // Asks the manager over D-Bus, for half a second at most; false where it does not say so.
  bool restarts() const;

 private:
  bool managed_ = false;
  std::chrono::microseconds watchdog_{0};
  std::vector<Estate> stored_;
};

}  // namespace fettle
