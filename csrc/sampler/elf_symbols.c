#define _POSIX_C_SOURCE 200809L

#include "elf_symbols.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files that are mapped -------------------------------------------------------- */

/* A line of proc_pid_maps(5). */
typedef struct {
    unsigned long long start, end, offset, device, inode;
} mapping;

static bool read_mapping(const char *line, mapping *one) {
    unsigned long long major, minor;
    char rights[8];
    if (sscanf(line, "%llx-%llx %7s %llx %llx:%llx %llu", &one->start, &one->end, rights,
               &one->offset, &major, &minor, &one->inode) != 7) {
        return false;
    }
    one->device = major << 32 | minor;
    return rights[0] == 'r' && one->inode != 0;
}

static FILE *open_maps(int64_t process) {
    char path[32] = "/proc/self/maps";
    if (process != 0) {
        (void)snprintf(path, sizeof(path), "/proc/%lld/maps", (long long)process);
    }
    return fopen(path, "re");
}

int gilx_mapped_files(int64_t process, gilx_mapped_file **files) {
    FILE *maps = open_maps(process);
    char *line = NULL;
    size_t size = 0;
    int count = 0, capacity = 0;
    *files = NULL;
    if (maps == NULL) {
        return -1;
    }
    while (getline(&line, &size, maps) >= 0) {
        mapping one;
        if (!read_mapping(line, &one) || one.offset != 0) {
            continue;
        }
        if (count == capacity) {
            capacity = 2 * capacity + 64;
            gilx_mapped_file *more = realloc(*files, (size_t)capacity * sizeof(*more));
            if (more == NULL) {
                free(*files);
                *files = NULL;
                count = -1;
                break;
            }
            *files = more;
        }
        (*files)[count++] = (gilx_mapped_file){
            .start = one.start, .device = one.device, .inode = one.inode};
    }
    free(line);
    (void)fclose(maps);
    if (count < 0) {
        errno = ENOMEM;
    }
    return count;
}

bool gilx_maps_file_of(const gilx_mapped_file *files, int count, const void *address) {
    FILE *maps = open_maps(0);
    char *line = NULL;
    size_t size = 0;
    mapping one, found = {.inode = 0};
    while (maps != NULL && getline(&line, &size, maps) >= 0) {
        if (read_mapping(line, &one) && (uintptr_t)address >= one.start &&
            (uintptr_t)address < one.end) {
            found = one;
        }
    }
    free(line);
    if (maps != NULL) {
        (void)fclose(maps);
    }
    for (int i = 0; i < count && found.inode != 0; ++i) {
        if (files[i].device == found.device && files[i].inode == found.inode) {
            return true;
        }
    }
    return false;
}

/* ---- symbols ---------------------------------------------------------------------- */

enum {
    MOST_HEADERS = 64,    /* program headers */
    MOST_DYNAMIC = 256,   /* entries of the dynamic section */
    MOST_CHAIN = 1 << 16, /* symbols that share a bucket */
    LONGEST_NAME = 64,
};

/* Tables of one file, by their addresses in memory. */
typedef struct {
    uintptr_t symbols, names, hash;
} tables;

static bool read_at(gilx_memory *memory, uintptr_t address, void *to, size_t size) {
    return gilx_memory_read(memory, (const void *)address, to, size);
}

/* Some C libraries write the addresses into the dynamic section when they load a file,
 * others leave there what the file has. */
static uintptr_t loaded_at(uintptr_t base, uint64_t given) {
    return given < base ? base + given : given;
}

static bool read_dynamic(gilx_memory *memory, uintptr_t base, uintptr_t dynamic,
                         tables *found) {
    *found = (tables){0, 0, 0};
    for (int i = 0; i < MOST_DYNAMIC; ++i) {
        Elf64_Dyn one;
        if (!read_at(memory, dynamic + (uintptr_t)i * sizeof(one), &one, sizeof(one)) ||
            one.d_tag == DT_NULL) {
            break;
        }
        if (one.d_tag == DT_SYMTAB) {
            found->symbols = loaded_at(base, one.d_un.d_ptr);
        } else if (one.d_tag == DT_STRTAB) {
            found->names = loaded_at(base, one.d_un.d_ptr);
        } else if (one.d_tag == DT_GNU_HASH) {
            found->hash = loaded_at(base, one.d_un.d_ptr);
        }
    }
    return found->symbols != 0 && found->names != 0 && found->hash != 0;
}

/* Find the tables of a file, and the number to be added to its addresses. */
static bool find_tables(gilx_memory *memory, uintptr_t start, tables *found,
                        uintptr_t *base) {
    Elf64_Ehdr file;
    if (!read_at(memory, start, &file, sizeof(file)) ||
        memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 ||
        file.e_ident[EI_CLASS] != ELFCLASS64 || file.e_phnum > MOST_HEADERS ||
        file.e_phentsize != sizeof(Elf64_Phdr)) {
        return false;
    }
    uintptr_t dynamic = 0;
    bool based = false;
    for (int i = 0; i < file.e_phnum; ++i) {
        Elf64_Phdr one;
        if (!read_at(memory, start + file.e_phoff + (uintptr_t)i * sizeof(one), &one,
                     sizeof(one))) {
            return false;
        }
        if (one.p_type == PT_LOAD && one.p_offset == 0) {
            *base = start - one.p_vaddr;
            based = true;
        } else if (one.p_type == PT_DYNAMIC) {
            dynamic = one.p_vaddr;
        }
    }
    return based && dynamic != 0 && read_dynamic(memory, *base, *base + dynamic, found);
}

/* The hash function of DT_GNU_HASH. */
static uint32_t hash_of(const char *name) {
    uint32_t hash = 5381;
    for (; *name != '\0'; ++name) {
        hash = hash * 33 + (unsigned char)*name;
    }
    return hash;
}

static bool is_named(gilx_memory *memory, const tables *file, const Elf64_Sym *symbol,
                     const char *name) {
    const size_t size = strlen(name) + 1;
    char text[LONGEST_NAME];
    return size <= sizeof(text) && symbol->st_shndx != SHN_UNDEF &&
           read_at(memory, file->names + symbol->st_name, text, size) &&
           memcmp(text, name, size) == 0;
}

uintptr_t gilx_exported_symbol(gilx_memory *memory, const gilx_mapped_file *file,
                               const char *name) {
    struct {
        uint32_t buckets, first, filter, shift;
    } header;
    tables found;
    uintptr_t base = 0;
    if (!find_tables(memory, file->start, &found, &base) ||
        !read_at(memory, found.hash, &header, sizeof(header)) || header.buckets == 0) {
        return 0;
    }
    const uint32_t hash = hash_of(name);
    const uintptr_t buckets =
        found.hash + sizeof(header) + header.filter * sizeof(uint64_t);
    const uintptr_t chains = buckets + header.buckets * sizeof(uint32_t);
    uint32_t number;
    if (!read_at(memory, buckets + hash % header.buckets * sizeof(number), &number,
                 sizeof(number)) ||
        number < header.first) {
        return 0;
    }
    for (int i = 0; i < MOST_CHAIN; ++i, ++number) {
        uint32_t other;
        Elf64_Sym symbol;
        if (!read_at(memory, chains + (number - header.first) * sizeof(other), &other,
                     sizeof(other))) {
            return 0;
        }
        if ((other | 1) == (hash | 1) &&
            read_at(memory, found.symbols + number * sizeof(symbol), &symbol,
                    sizeof(symbol)) &&
            is_named(memory, &found, &symbol, name)) {
            return base + symbol.st_value;
        }
        if ((other & 1) != 0) { /* the last one of its bucket */
            return 0;
        }
    }
    return 0;
}
