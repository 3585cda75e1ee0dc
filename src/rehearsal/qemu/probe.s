# A boot sector that looks at the processor it is started on, for probe.rs (which holds its bytes):
#   as --32 -o probe.o probe.s && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o probe.bin probe.o
# It runs a guest of one instruction, a read of CR2, with AMD's virtualization (SVM), asks for an exit at that
# read, and says through QEMU's isa-debug-exit device what it got: 0x12 the right exit, 0x10 to 0x1f another
# one, 0x20 no SVM here, 0x30 no exit at all.
.intel_syntax noprefix
.code16
start:
    cli
    xor ax, ax
    mov ds, ax
    lgdt [gdtr]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0xea; .word pm, 8          # far jump into 32-bit code
.code32
pm:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov eax, 0x80000001              # CPUID: is there AMD's SVM?
    cpuid
    test cl, 4
    mov al, 0x20
    jz done
    mov ecx, 0xc0000080              # EFER.SVME
    rdmsr
    or ah, 0x10
    wrmsr
    mov ecx, 0xc0010117              # VM_HSAVE_PA
    mov eax, 0x20000
    xor edx, edx
    wrmsr
    mov ebx, 0x10000                 # the VMCB
    mov edi, ebx
    mov ecx, 0x400
    xor eax, eax
    rep stosd
    mov byte ptr [ebx], 4            # intercept reads of CR2
    mov byte ptr [ebx+0x10], 1       # intercept VMRUN (required)
    mov byte ptr [ebx+0x58], 1       # ASID
    mov edi, 0x10400                 # ES, CS, SS, DS: flat
    mov ecx, 4
seg:
    mov dword ptr [edi], 0x0c930010
    dec dword ptr [edi+4]
    add edi, 16
    loop seg
    mov dword ptr [ebx+0x410], 0x0c9b0008
    mov byte ptr [ebx+0x4d1], 0x10   # EFER.SVME
    mov byte ptr [ebx+0x558], 0x11   # CR0: PE, ET
    mov byte ptr [ebx+0x570], 2      # RFLAGS
    mov word ptr [ebx+0x578], offset guest
    mov eax, ebx
    vmrun
    mov eax, [ebx+0x70]              # EXITCODE: 2 is "read of CR2"
    cmp eax, 0x10
    jb small
    mov al, 0x0f
small:
    add al, 0x10
done:
    out 0xf4, al                     # QEMU ends with status 2*al+1
    hlt
guest:
    mov eax, cr2
    mov al, 0x30
    jmp done
.align 4
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
gdtr:
    .word 23
    .long gdt
    .org 510
    .word 0xaa55
