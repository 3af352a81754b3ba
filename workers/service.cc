#include "workers/service.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <fmt/format.h>

namespace fettle {
namespace {

constexpr uint64_t kPatience = 500'000;  // microseconds
constexpr const char* kManager = "org.freedesktop.systemd1";

// "queue3-socket"
std::string store_name(uint16_t queue, Part part) {
  return fmt::format("queue{}-{}", queue, to_string(part));
}

bool parse_store_name(std::string_view name, uint16_t* queue, Part* part) {
  constexpr std::string_view kQueue = "queue";
  if (!name.starts_with(kQueue)) return false;
  name.remove_prefix(kQueue.size());
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), *queue);
  name.remove_prefix(static_cast<size_t>(end - name.data()));
  if (error != std::errc{} || !name.starts_with('-')) return false;
  for (size_t i = 0; i < kParts; ++i) {
    if (name.substr(1) != to_string(static_cast<Part>(i))) continue;
    *part = static_cast<Part>(i);
    return true;
  }
  return false;
}

// What came from the store, queue by queue. What has no name of ours is closed.
std::vector<Estate> stored_estates(int count, char** names) {
  std::vector<Estate> out;
  for (int i = 0; i < count; ++i) {
    Descriptor fd(SD_LISTEN_FDS_START + i);
    uint16_t queue = 0;
    Part part{};
    if (!names || !names[i] || !parse_store_name(names[i], &queue, &part)) continue;
    auto estate = out.begin();
    while (estate != out.end() && estate->queue != queue) ++estate;
    if (estate == out.end()) {
      estate = out.insert(out.end(), Estate{});
      estate->queue = queue;
    }
    (*estate)[part] = std::move(fd);
  }
  std::erase_if(
      out, [](const Estate& estate) { return !estate[Part::kSocket] || !estate[Part::kPage]; });
  return out;
}

struct BusDeleter {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
struct MessageDeleter {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};

}  // namespace

Service Service::from_environment() {
  Service out;
  out.managed_ = std::getenv("NOTIFY_SOCKET") != nullptr;
  uint64_t interval = 0;
  if (sd_watchdog_enabled(0, &interval) > 0) out.watchdog_ = std::chrono::microseconds(interval);
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  if (count > 0) out.stored_ = stored_estates(count, names);
  for (int i = 0; names && i < count; ++i) std::free(names[i]);
  std::free(names);
  return out;
}

void Service::store(uint16_t queue, Part part, int fd) const {
  if (!managed_) return;
  const std::string name = store_name(queue, part);
  sd_notify(0, fmt::format("FDSTOREREMOVE=1\nFDNAME={}", name).c_str());
  if (fd < 0) return;
  sd_pid_notify_with_fds(0, 0, fmt::format("FDSTORE=1\nFDPOLL=0\nFDNAME={}", name).c_str(), &fd, 1);
}

void Service::forget(uint16_t queue) const {
  for (size_t i = 0; i < kParts; ++i) store(queue, static_cast<Part>(i), -1);
}

void Service::ready(const std::string& status) const {
  sd_notify(0, fmt::format("READY=1\nSTATUS={}", status).c_str());
}

void Service::reloading() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  sd_notify(
      0, fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1'000'000 + now.tv_nsec / 1000)
             .c_str());
}

void Service::stopping() const { sd_notify(0, "STOPPING=1"); }

void Service::beat() const { sd_notify(0, "WATCHDOG=1"); }

bool Service::restarts() const {
  sd_bus* opened = nullptr;
  if (!managed_ || sd_bus_open_system(&opened) < 0) return false;
  const std::unique_ptr<sd_bus, BusDeleter> bus(opened);
  sd_bus_set_method_call_timeout(bus.get(), kPatience);
  sd_bus_message* answer = nullptr;
  if (sd_bus_call_method(bus.get(), kManager, "/org/freedesktop/systemd1",
                         "org.freedesktop.systemd1.Manager", "GetUnitByPID", nullptr, &answer, "u",
                         static_cast<uint32_t>(getpid())) < 0) {
    return false;
  }
  const std::unique_ptr<sd_bus_message, MessageDeleter> unit_answer(answer);
  const char* unit = nullptr;
  if (sd_bus_message_read(unit_answer.get(), "o", &unit) < 0) return false;
  if (sd_bus_get_property(bus.get(), kManager, unit, "org.freedesktop.systemd1.Unit", "Job",
                          nullptr, &answer, "(uo)") < 0) {
    return false;
  }
  const std::unique_ptr<sd_bus_message, MessageDeleter> job_answer(answer);
  uint32_t id = 0;
  const char* job = nullptr;
  if (sd_bus_message_read(job_answer.get(), "(uo)", &id, &job) < 0 || id == 0) return false;
  char* type = nullptr;
  if (sd_bus_get_property_string(bus.get(), kManager, job, "org.freedesktop.systemd1.Job",
                                 "JobType", nullptr, &type) < 0) {
    return false;
  }
  const std::unique_ptr<char, void (*)(void*)> owned(type, std::free);
  return std::string_view(type).find("restart") != std::string_view::npos;
}

}  // namespace fettle
