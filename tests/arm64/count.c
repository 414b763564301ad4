/* A plugin of QEMU that prints how many instructions a program has executed. What it uses of
   QEMU's interface is declared here, since Debian's packages have no header for it. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

struct qemu_plugin_tb;
typedef uint64_t plugin_id;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *),
                                          int flags, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

/* Of the interface: 1 until QEMU 8, 2 from QEMU 9 on. */
__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_VERSION;

static uint64_t n_instructions;

static void executed(unsigned cpu, void *n) { n_instructions += (uintptr_t)n; }

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    void *n = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, n);
}

static void ended(plugin_id id, void *data) {
    fprintf(stderr, "%" PRIu64 " instructions\n", n_instructions);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info,
                                                               int argc, char **argv) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
