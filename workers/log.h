// Where fettle run's lines go: to stderr with the time, or to the journal where stderr is one of
// its streams, as a service's is: there each line has its priority, and fields that can be asked
// for:
//
//   FETTLE_QUEUE    the queue that it is about
//   FETTLE_WORKER   the worker's process
//
// Sources: systemd.exec(5) ($JOURNAL_STREAM), sd_journal_send(3), sd-daemon(3).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fettle {

// Sets the default logger.
void set_up_log();
// In a process forked after that, which is to open nothing: lines go to stderr, and keep their
// priority where that is the journal's.
void log_to_stderr_alone();

// What a line says of these fields: "queue 3: worker 12 ..." has both.
std::vector<std::pair<std::string, std::string>> log_fields(std::string_view message);

}  // namespace fettle
