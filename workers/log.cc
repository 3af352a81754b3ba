#include "workers/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>

namespace fettle {
namespace {

int priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
      return LOG_CRIT;
    case spdlog::level::err:
      return LOG_ERR;
    case spdlog::level::warn:
      return LOG_WARNING;
    case spdlog::level::info:
      return LOG_INFO;
    default:
      return LOG_DEBUG;
  }
}

class JournalSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& line) override {
    const std::string_view message(line.payload.data(), line.payload.size());
    std::vector<std::string> fields{fmt::format("MESSAGE={}", message),
                                    fmt::format("PRIORITY={}", priority_of(line.level)),
                                    "SYSLOG_IDENTIFIER=fettle"};
    for (const auto& [name, value] : log_fields(message)) fields.push_back(name + "=" + value);
    std::vector<iovec> parts;
    for (std::string& field : fields) parts.push_back({field.data(), field.size()});
    sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
  }
  void flush_() override {}
};

class PrioritySink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& line) override {
    fmt::print(stderr, "<{}>{}\n", priority_of(line.level),
               std::string_view(line.payload.data(), line.payload.size()));
  }
  void flush_() override { std::fflush(stderr); }
};

bool stderr_is_the_journals() {
  const char* const named = std::getenv("JOURNAL_STREAM");
  struct stat own {};
  return named && fstat(STDERR_FILENO, &own) == 0 &&
         fmt::format("{}:{}", own.st_dev, own.st_ino) == named;
}

// The digits behind `word` and a space.
std::string number_after(std::string_view message, std::string_view word) {
  const size_t at = message.find(word);
  if (at == std::string_view::npos) return "";
  const size_t begin = at + word.size();
  const size_t end = message.find_first_not_of("0123456789", begin);
  return std::string(message.substr(begin, end - begin));
}

}  // namespace

std::vector<std::pair<std::string, std::string>> log_fields(std::string_view message) {
  std::vector<std::pair<std::string, std::string>> out;
  if (message.starts_with("queue ")) {
    out.emplace_back("FETTLE_QUEUE", number_after(message, "queue "));
    if (auto worker = number_after(message, ": worker "); !worker.empty())
      out.emplace_back("FETTLE_WORKER", std::move(worker));
  }
  return out;
}

void set_up_log() {
  if (stderr_is_the_journals()) {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("fettle", std::make_shared<JournalSink>()));
  } else {
    spdlog::set_default_logger(spdlog::stderr_color_mt("fettle"));
    spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %^%-7l%$ %v");
  }
  spdlog::flush_on(spdlog::level::info);
}

void log_to_stderr_alone() {
  if (!stderr_is_the_journals()) return;
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("fettle", std::make_shared<PrioritySink>()));
  spdlog::flush_on(spdlog::level::info);
}

}  // namespace fettle
