// One function for each subcommand; main.cc has the table. Each adds its flags to the application
// and a callback that leaves an exit status of sysexits(3) in *exit_code.
#pragma once

#include "core/result.h"

namespace CLI {
class App;
}

namespace fettle {

void add_run_command(CLI::App& app, int* exit_code);
void add_check_command(CLI::App& app, int* exit_code);
void add_explain_command(CLI::App& app, int* exit_code);
void add_replay_command(CLI::App& app, int* exit_code);
void add_sniff_command(CLI::App& app, int* exit_code);
void add_status_command(CLI::App& app, int* exit_code);
void add_top_command(CLI::App& app, int* exit_code);
void add_reload_command(CLI::App& app, int* exit_code);
void add_drain_command(CLI::App& app, int* exit_code);
void add_doctor_command(CLI::App& app, int* exit_code);
void add_steer_command(CLI::App& app, int* exit_code);
void add_reference_command(CLI::App& app, int* exit_code);

// Prints the message to stderr and returns the exit status that goes with it.
int report(const Error& error);

}  // namespace fettle
