"""How a handler reads XLA's call frame, in LLVM IR; `vtrial.solve.lanes.handler` fills in the numbers."""

ACCESS = """
define internal ptr @pointer(ptr %base, i64 %offset) alwaysinline {
  %at = getelementptr i8, ptr %base, i64 %offset
  %value = load ptr, ptr %at
  ret ptr %value
}
define internal i64 @number(ptr %base, i64 %offset) alwaysinline {
  %at = getelementptr i8, ptr %base, i64 %offset
  %value = load i64, ptr %at
  ret i64 %value
}
define internal i32 @int(ptr %base, i64 %offset) alwaysinline {
  %at = getelementptr i8, ptr %base, i64 %offset
  %value = load i32, ptr %at
  ret i32 %value
}
define internal void @put_pointer(ptr %base, i64 %offset, ptr %value) alwaysinline {
  %at = getelementptr i8, ptr %base, i64 %offset
  store ptr %value, ptr %at
  ret void
}
define internal void @put_number(ptr %base, i64 %offset, i64 %value) alwaysinline {
  %at = getelementptr i8, ptr %base, i64 %offset
  store i64 %value, ptr %at
  ret void
}
define internal void @put_int(ptr %base, i64 %offset, i32 %value) alwaysinline {
  %at = getelementptr i8, ptr %base, i64 %offset
  store i32 %value, ptr %at
  ret void
}
"""
"""Loads and stores at offsets in bytes."""

ANSWER = """
; tells XLA, when it asks, which version of the interface this is; there are no traits and no state
define internal void @answer(ptr %extension) {
  %type = call i32 @int(ptr %extension, i64 <InternalExtension.type>)
  %asked = icmp eq i32 %type, {METADATA}
  br i1 %asked, label %tell, label %leave
tell:
  %metadata = call ptr @pointer(ptr %extension, i64 <Metadata_Extension.metadata>)
  %version = getelementptr i8, ptr %metadata, i64 <Metadata.api_version>
  call void @put_int(ptr %version, i64 <Api_Version.major_version>, i32 {MAJOR})
  call void @put_int(ptr %version, i64 <Api_Version.minor_version>, i32 {MINOR})
  call void @put_int(ptr %metadata, i64 <Metadata.traits>, i32 0)
  call void @put_number(ptr %metadata, i64 <Metadata.state_type_id>, i64 0)
  br label %leave
leave:
  ret void
}
"""
"""The answer to XLA's question for the interface's version."""

READ = """
define internal i64 @product(ptr %dims, i64 %count) {
entry:
  br label %next
next:
  %i = phi i64 [0, %entry], [%more, %body]
  %total = phi i64 [1, %entry], [%grown, %body]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %body, label %leave
body:
  %at = getelementptr i64, ptr %dims, i64 %i
  %dim = load i64, ptr %at
  %grown = mul i64 %total, %dim
  %more = add i64 %i, 1
  br label %next
leave:
  ret i64 %total
}
; stores a buffer's address and first inner dim; whether it is as its description in @buffers says
define internal i1 @buffer(ptr %frame, ptr %state, i64 %which) {
  %row = getelementptr [5 x i64], ptr @buffers, i64 %which
  %place_of_list = call i64 @number(ptr %row, i64 0)
  %index = call i64 @number(ptr %row, i64 8)
  %dtype = call i64 @number(ptr %row, i64 16)
  %inner = call i64 @number(ptr %row, i64 24)
  %expected = call i64 @number(ptr %row, i64 32)
  %list = call ptr @pointer(ptr %frame, i64 %place_of_list)
  %at = getelementptr ptr, ptr %list, i64 %index
  %buffer = load ptr, ptr %at
  %given = call i32 @int(ptr %buffer, i64 <Buffer.dtype>)
  %given_type = zext i32 %given to i64
  %typed = icmp eq i64 %given_type, %dtype
  %rank = call i64 @number(ptr %buffer, i64 <Buffer.rank>)
  %outer = sub i64 %rank, %inner
  %ranked = icmp sge i64 %outer, 0
  %right = and i1 %typed, %ranked
  br i1 %right, label %measure, label %wrong
measure:
  %dims = call ptr @pointer(ptr %buffer, i64 <Buffer.dims>)
  %persons = call i64 @product(ptr %dims, i64 %outer)
  %first_at = getelementptr i64, ptr %dims, i64 %outer
  %first = load i64, ptr %first_at
  %end = sub i64 %rank, 1
  %last_at = getelementptr i64, ptr %dims, i64 %end
  %last = load i64, ptr %last_at
  %free = icmp slt i64 %expected, 0
  %equal = icmp eq i64 %last, %expected
  %sized = or i1 %free, %equal
  %first_buffer = icmp eq i64 %which, 0
  %all_at = getelementptr i64, ptr %state, i64 {PERSONS}
  %before = load i64, ptr %all_at
  %all = select i1 %first_buffer, i64 %persons, i64 %before
  store i64 %all, ptr %all_at
  ; a table may be for fewer persons: they take turns
  %same = icmp eq i64 %persons, %all
  %nobody = icmp eq i64 %persons, 0
  %divisor = select i1 %nobody, i64 1, i64 %persons
  %rest = srem i64 %all, %divisor
  %even = icmp eq i64 %rest, 0
  %some = xor i1 %nobody, true
  %turns = and i1 %even, %some
  %table = icmp sge i64 %which, {TABLES}
  %may = and i1 %turns, %table
  %people = or i1 %same, %may
  %triple = mul i64 %which, 3
  %slot = add i64 %triple, {BUFFERS}
  %place = getelementptr i64, ptr %state, i64 %slot
  %data = call ptr @pointer(ptr %buffer, i64 <Buffer.data>)
  store ptr %data, ptr %place
  call void @put_number(ptr %place, i64 8, i64 %first)
  call void @put_number(ptr %place, i64 16, i64 %persons)
  %good = and i1 %sized, %people
  ret i1 %good
wrong:
  ret i1 false
}
; fills the state; whether all buffers are as they should be
define internal i1 @fill(ptr %frame, ptr %state) {
entry:
  %operands = call i64 @number(ptr %frame, i64 {ARGS_SIZE})
  %results = call i64 @number(ptr %frame, i64 {RETS_SIZE})
  %taken = icmp eq i64 %operands, {OPERANDS}
  %given = icmp eq i64 %results, 2
  %complete = and i1 %taken, %given
  br i1 %complete, label %next, label %wrong
next:
  %i = phi i64 [0, %entry], [%more, %good]
  %left = icmp slt i64 %i, {COUNT}
  br i1 %left, label %read, label %ready
read:
  %fits = call i1 @buffer(ptr %frame, ptr %state, i64 %i)
  %more = add i64 %i, 1
  br i1 %fits, label %good, label %wrong
good:
  br label %next
ready:
  %persons = call i64 @number(ptr %state, i64 {PERSONS_BYTE})
  %raised = add i64 %persons, {WIDTH_LESS_1}
  %blocks = sdiv i64 %raised, {WIDTH}
  call void @put_number(ptr %state, i64 {BLOCKS_BYTE}, i64 %blocks)
  call void @put_number(ptr %state, i64 0, i64 0)
  call void @put_number(ptr %state, i64 {DONE_BYTE}, i64 0)
  call void @put_number(ptr %state, i64 {REFERENCES_BYTE}, i64 1)
  ret i1 true
wrong:
  ret i1 false
}
"""
"""From the call frame to the kernel's state."""

COMPLAINT = """
; makes the error that tells of wrong buffers
define internal ptr @complaint(ptr %frame) {
  %error = alloca [<Error_Create_Args> x i8], align 8
  call void @put_number(ptr %error, i64 0, i64 <Error_Create_Args>)
  call void @put_pointer(ptr %error, i64 <Error_Create_Args.extension_start>, ptr null)
  call void @put_pointer(ptr %error, i64 <Error_Create_Args.message>, ptr @message)
  call void @put_int(ptr %error, i64 <Error_Create_Args.errc>, i32 {INVALID})
  %api = call ptr @pointer(ptr %frame, i64 <CallFrame.api>)
  %create = call ptr @pointer(ptr %api, i64 <Api.XLA_FFI_Error_Create>)
  %made = call ptr %create(ptr %error)
  ret ptr %made
}
"""
"""The error."""
